-- A model takes over an underlying from its next chain on. `instead_of` is what must have been promoted before ('' for
-- nothing); ANY asks for nothing. Answers what was, or that nothing was done; a repetition changes nothing.

local state, events, counters = KEYS[1], KEYS[2], KEYS[3]
local underlying, model, instead_of, events_kept = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kind, message, values = ARGV[5], ARGV[6], ARGV[7]
local ANY = '*'

local now = fields(state, {'received', 'model'})
if not now.received then
  return {'unknown'}
end
local before = now.model or ''
if instead_of ~= ANY and before ~= instead_of and before ~= model then
  return {'overtaken', before}
end
if before ~= model then
  local log = {events = events, counters = counters, state = state, kept = events_kept}
  record(log, underlying, now_us(), '', kind, message, values)
  redis.call('HSET', state, 'model', model)
end
return {'promoted', before}
