-- A caller takes up to `wanted` requests out of its bucket, which fills steadily and is forgotten once full.

local bucket = KEYS[1]
local rate_per_s, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local us = now_us()
local now = fields(bucket, {'level', 'at_us'})
local level = burst
if now.level then
  local elapsed_s = math.max(0, us - tonumber(now.at_us)) / 1e6
  level = math.min(burst, tonumber(now.level) + elapsed_s * rate_per_s)
end
local taken = math.min(wanted, math.floor(level))
redis.call('HSET', bucket, 'level', string.format('%.9f', level - taken), 'at_us', whole(us))
redis.call('PEXPIRE', bucket, whole(math.ceil(burst / rate_per_s * 1000)))
if taken > 0 then
  return {whole(taken), '0'}
end
return {'0', whole(math.ceil((1 - level) / rate_per_s * 1e6))}
