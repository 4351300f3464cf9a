-- The holder of the fence gives its chain back unfinished; the attempt does not count.

local queue, state = KEYS[1], KEYS[2]
local token, underlying, fence = ARGV[1], ARGV[2], ARGV[3]

local now = fields(state, {'state', 'token', 'fence', 'dirty', 'attempts', 'settled_fence', 'settled_as'})
if now.settled_fence == fence then
  return now.settled_as
end
if now.state ~= 'running' or now.fence ~= fence or now.token ~= token then
  count(state, 'fenced')
  return 'fenced'
end

dequeue(queue, token)
local attempts = tonumber(now.attempts) - 1
if now.dirty then
  redis.call('HDEL', state, 'dirty')
  count(state, 'superseded')
  attempts = 0
end
redis.call('HSET', state, 'attempts', whole(attempts), 'settled_fence', fence, 'settled_as', 'handed_back')
enqueue(queue, state, underlying, now_us())
return 'handed_back'
