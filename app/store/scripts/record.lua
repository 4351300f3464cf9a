-- An event that belongs to no claim.

local events, counters, state = KEYS[1], KEYS[2], KEYS[3]
local underlying, version, kept = ARGV[1], ARGV[2], ARGV[3]
local kind, message, values = ARGV[4], ARGV[5], ARGV[6]

local log = {events = events, counters = counters, state = state, kept = kept}
return record(log, underlying, now_us(), version, kind, message, values)
