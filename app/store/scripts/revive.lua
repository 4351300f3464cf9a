-- A dead letter is tried again, if it is still the newest chain received and nothing of its underlying is under way.

local queue, state, chain, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local letter, underlying, order, payload = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local now = fields(state, {'state', 'order'})
if #redis.call('XRANGE', dead, letter, letter) == 0 then
  return 'missing'
end
if now.order and order < now.order then
  return 'stale'
end
if now.state ~= 'idle' then
  return 'busy'
end
count(state, 'received')
count(state, 'submit:queued')
redis.call('SET', chain, payload)
redis.call('HSET', state, 'attempts', '0', 'received_ms', ms_of(now_us()))
enqueue(queue, state, underlying, now_us())
redis.call('XDEL', dead, letter)
return 'queued'
