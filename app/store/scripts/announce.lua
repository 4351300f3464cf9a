-- A worker says that it is alive; those that stopped saying so are forgotten.

local workers = KEYS[1]
local worker, lives_ms, warm, busy_since_ms, busy_with = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]

local now_ms = math.floor(now_us() / 1000)
redis.call('HDEL', workers, worker)
local all = redis.call('HGETALL', workers)
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '^%d+')) <= now_ms then
    redis.call('HDEL', workers, all[i])
  end
end
if lives_ms > 0 then
  redis.call('HSET', workers, worker, table.concat({whole(now_ms + lives_ms), warm, busy_since_ms, busy_with}, '|'))
end
return 1
