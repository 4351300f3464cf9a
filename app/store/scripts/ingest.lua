-- A chain arrives: it becomes the underlying's newest and the underlying waits, unless it is not newer.

local queue, state, chain, underlyings = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local underlying, order, as_of, sequence, payload = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local longest_wait_ms = tonumber(ARGV[6])

-- How long the first token that no worker has been given waits; a token's id begins with its milliseconds.
local function longest_wait(now_ms)
  local since = '-'
  if redis.call('EXISTS', queue) == 1 then
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', queue)) do
      for i = 1, #group, 2 do
        if group[i] == 'last-delivered-id' then
          since = '(' .. group[i + 1]
        end
      end
    end
  end
  local first = redis.call('XRANGE', queue, since, '+', 'COUNT', 1)[1]
  return first and now_ms - tonumber(string.match(first[1], '^%d+')) or 0
end

local now = fields(state, {'state', 'token', 'order', 'dirty'})
local newer = not now.order or order > now.order
if newer then
  local wait_ms = longest_wait(math.floor(now_us() / 1000))
  if wait_ms > longest_wait_ms then
    return wait_ms
  end
end

count(state, 'received')
redis.call('SADD', underlyings, underlying)

if not newer then
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
