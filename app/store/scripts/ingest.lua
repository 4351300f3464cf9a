-- A chain arrives: it becomes the underlying's newest and the underlying waits, unless it is not newer.

local queue, state, chain, underlyings = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local underlying, order, as_of, sequence, payload = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

count(state, 'received')
redis.call('SADD', underlyings, underlying)
local now = fields(state, {'state', 'token', 'order', 'dirty'})

if now.order and order <= now.order then
  local outcome = order == now.order and 'duplicate' or 'stale'
  count(state, outcome)
  return outcome
end

local us = now_us()
redis.call('SET', chain, payload)
redis.call('HSET', state, 'order', order, 'as_of', as_of, 'sequence', sequence, 'received_ms', ms_of(us))

-- A damaged log may have lost a token and kept its state; without this nobody would ever take the underlying up again.
if (now.state == 'queued' or now.state == 'running') and #redis.call('XRANGE', queue, now.token, now.token) == 0 then
  redis.call('HINCRBY', state, 'superseded', now.dirty and 2 or 1)
  redis.call('HDEL', state, 'dirty')
  now.state, now.dirty = 'idle', false
end

local outcome
if now.state == 'queued' or now.dirty then
  count(state, 'superseded')
  outcome = 'coalesced'
elseif now.state == 'running' then
  redis.call('HSET', state, 'dirty', '1')
  outcome = 'deferred'
else
  enqueue(queue, state, underlying, us)
  outcome = 'queued'
end
if now.state ~= 'running' then
  redis.call('HSET', state, 'attempts', '0')
end
count(state, 'submit:' .. outcome)
return outcome
