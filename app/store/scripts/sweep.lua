-- Consumers that hold nothing and have been silent for long, or say that they leave, are removed from the group.

local queue = KEYS[1]
local leaving, silent_ms = ARGV[1], tonumber(ARGV[2])

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
