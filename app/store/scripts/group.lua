-- A consumer joins or leaves: the group is made if there is none, and rid of consumers that hold nothing and leave, or
-- have been silent for long. Making a group needs memory, so on a full server it must not be asked for in vain.

local queue = KEYS[1]
local leaving, silent_ms = ARGV[1], tonumber(ARGV[2])

local exists = false
if redis.call('EXISTS', queue) == 1 then
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', queue)) do
    exists = exists or group[2] == GROUP
  end
end
if not exists then
  redis.call('XGROUP', 'CREATE', queue, GROUP, '0', 'MKSTREAM')
  return 0
end

local removed = 0
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', queue, GROUP)) do
  local consumer = {}
  for i = 1, #flat, 2 do
    consumer[flat[i]] = flat[i + 1]
  end
  if consumer.pending == 0 and (consumer.name == leaving or consumer.idle > silent_ms) then
    redis.call('XGROUP', 'DELCONSUMER', queue, GROUP, consumer.name)
    removed = removed + 1
  end
end
return removed
