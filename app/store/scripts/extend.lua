-- The holder of the fence renews its lease; JUSTID leaves the delivery count alone.

local queue, state = KEYS[1], KEYS[2]
local token, fence, consumer = ARGV[1], ARGV[2], ARGV[3]

local now = fields(state, {'state', 'fence', 'token'})
if now.state ~= 'running' or now.fence ~= fence or now.token ~= token then
  return 0
end
redis.call('XCLAIM', queue, GROUP, consumer, 0, token, 'JUSTID')
return 1
