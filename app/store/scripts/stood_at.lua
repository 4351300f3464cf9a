-- The newest surface whose chain is not newer than a time.

local history = KEYS[1]
local at_ms = tonumber(ARGV[1])
local PAGE = 32

local last = '+'
while true do
  local page = redis.call('XREVRANGE', history, last, '-', 'COUNT', PAGE)
  for _, entry in ipairs(page) do
    local values = entry[2]
    for i = 1, #values, 2 do
      if values[i] == 'as_of' and (tonumber(values[i + 1]) or math.huge) <= at_ms then
        return {entry}
      end
    end
  end
  if #page < PAGE then
    return {}
  end
  last = whole(tonumber(string.match(page[#page][1], '^%d+')) - 1) .. '-0'
end
