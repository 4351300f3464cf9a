-- A damaged payload is set aside as it was found; what is damaged in a stream leaves it.

local stream, quarantine, counters = KEYS[1], KEYS[2], KEYS[3]
local kind, underlying, entry, reason, payload, kept = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

if kind ~= 'chain' and redis.call('XDEL', stream, entry) == 0 then
  return 0
end
redis.call('XADD', quarantine, 'MAXLEN', '=', kept, '*', 'kind', kind, 'underlying', underlying, 'entry', entry,
  'reason', reason, 'payload', payload)
count(counters, 'quarantined:' .. kind)
return 1
