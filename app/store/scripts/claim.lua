-- The consumer that was given the token takes the underlying's newest chain under a new fence.

local queue, state, chain, history, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local events, counters = KEYS[6], KEYS[7]
local token, underlying, consumer = ARGV[1], ARGV[2], ARGV[3]
local max_attempts, dead_letters_kept, events_kept = tonumber(ARGV[4]), ARGV[5], ARGV[6]

local now = fields(state, {'state', 'token', 'dirty', 'attempts', 'fence', 'order', 'as_of', 'sequence', 'received_ms',
  'maintenance', 'model'})

if now.token ~= token or (now.state ~= 'queued' and now.state ~= 'running') then
  dequeue(queue, token)
  return {'orphan'}
end

-- A consumer that slept since it read the token may find that another one holds it now.
local owner = redis.call('XPENDING', queue, GROUP, token, token, 1)[1]
if not owner or owner[2] ~= consumer then
  return {'not_owner'}
end

redis.call('HDEL', state, 'dirty')
local attempt = tonumber(now.attempts or '0') + 1
if now.state == 'running' then
  count(state, 'reclaimed')
  if now.dirty then
    count(state, 'superseded')
    attempt = 1
  end
end

local payload = redis.call('GET', chain) or ''
if attempt > max_attempts then
  dequeue(queue, token)
  redis.call('XADD', dead, 'MAXLEN', '=', dead_letters_kept, '*', 'underlying', underlying, 'as_of', now.as_of,
    'sequence', now.sequence, 'received_ms', now.received_ms, 'attempts', whole(attempt - 1), 'chain', payload)
  count(state, 'failed')
  count(state, 'dead_lettered')
  count(state, 'calibration:dead_letter')
  local reason = whole(attempt - 1) .. ' workers ended while fitting this chain; it is kept as a dead letter'
  redis.call('HSET', state, 'state', 'idle', 'attempts', '0', 'failure_as_of', now.as_of, 'failure', reason)
  local log = {events = events, counters = counters, state = state, kept = events_kept}
  record(log, underlying, now_us(), '', 'dead_letter', reason, string.format(
    '{"attempts":%s,"as_of_ms":%s,"sequence":%s}', whole(attempt - 1), now.as_of, now.sequence))
  redis.call('DEL', chain)
  return {'dead_lettered', whole(attempt - 1)}
end

local us = now_us()
local fence = ticked(now.fence, us)
redis.call('HSET', state, 'state', 'running', 'fence', fence, 'attempts', whole(attempt), 'running_order', now.order,
  'running_as_of', now.as_of, 'running_sequence', now.sequence, 'running_received_ms', now.received_ms)
return {'claimed', fence, whole(attempt), now.as_of, now.sequence, now.received_ms, ms_of(us), payload,
  redis.call('XREVRANGE', history, '+', '-', 'COUNT', 1), now.maintenance or '', now.model or ''}
