-- The scores of a chain are kept, unless those of a newer chain are.

local scores = KEYS[1]
local order, board, report = ARGV[1], ARGV[2], ARGV[3]

local kept = redis.call('HGET', scores, 'order')
if kept and kept > order then
  return 0
end
redis.call('HSET', scores, 'order', order, 'board', board, 'report', report)
redis.call('HDEL', scores, 'trying')
return 1
