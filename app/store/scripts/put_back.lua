-- A consumer that was given more tokens than it takes gives one back; nothing was claimed.

local queue, state = KEYS[1], KEYS[2]
local token, underlying = ARGV[1], ARGV[2]

local now = fields(state, {'state', 'token', 'queued_ms'})
dequeue(queue, token)
if now.state == 'queued' and now.token == token then
  enqueue(queue, state, underlying, now_us())
  redis.call('HSET', state, 'queued_ms', now.queued_ms)
end
return 1
