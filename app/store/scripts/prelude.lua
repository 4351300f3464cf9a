-- Put before every script. Numbers leave a script as decimal strings: tostring(1.7e15) would be 1.7e+15.

local GROUP = 'fit'

local function whole(number)
  return string.format('%.0f', number)
end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function ms_of(us)
  return whole(math.floor(us / 1000))
end

-- The next value of a hybrid clock that last stood at `previous`.
local function ticked(previous, us)
  local last = tonumber(previous or '0')
  if us > last then
    return whole(us)
  end
  return whole(last + 1)
end

-- The named fields of a hash; false for a field it does not have.
local function fields(key, names)
  local values = redis.call('HMGET', key, unpack(names))
  local found = {}
  for i, name in ipairs(names) do
    found[name] = values[i]
  end
  return found
end

local function count(key, counter)
  redis.call('HINCRBY', key, counter, 1)
end

local function enqueue(queue, state, underlying, us)
  local token = redis.call('XADD', queue, '*', 'underlying', underlying)
  redis.call('HSET', state, 'state', 'queued', 'token', token, 'queued_ms', ms_of(us))
end

-- Never needs memory, so that what follows in the script runs on a full server too.
local function dequeue(queue, token)
  redis.call('XACK', queue, GROUP, token)
  redis.call('XDEL', queue, token)
end

-- What happened to an underlying enters the log of its shard. `log` names the keys and how many entries are kept;
-- `version` is empty for an event without a surface.
local function record(log, underlying, us, version, kind, message, values)
  local number = redis.call('HINCRBY', log.counters, 'events', 1)
  count(log.state, 'event:' .. kind)
  return redis.call('XADD', log.events, 'MAXLEN', '=', log.kept, '*', 'underlying', underlying, 'number', whole(number),
    'kind', kind, 'at', ms_of(us), 'version', version, 'message', message, 'values', values)
end
