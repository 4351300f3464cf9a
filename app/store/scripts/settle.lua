-- The holder of the fence answers: a surface, or a failure. The underlying becomes idle, or waits again if dirty.
-- Returns how it was settled, and the version.

local queue, state, chain, history = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local updates, counters, histograms, chains, events = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local factors = KEYS[10]
local token, underlying, fence, order = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local verdict, outcome, document, reason = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local calibration_us, queue_wait_us, bounds_us = ARGV[9], ARGV[10], ARGV[11]
local history_kept, updates_kept, maintenance = ARGV[12], ARGV[13], ARGV[14]
local fitted_chain, fitted_state, chains_kept, history_age_us = ARGV[15], ARGV[16], ARGV[17], tonumber(ARGV[18])
local log = {events = events, counters = counters, state = state, kept = ARGV[19]}
local row, slot, fitted = ARGV[20], ARGV[21], ARGV[22] == '1'
local rows_kept, rows_age_us = ARGV[23], tonumber(ARGV[24])
local FIRST_EVENT = 25

local now = fields(state, {'state', 'token', 'fence', 'dirty', 'running_order', 'running_as_of', 'running_sequence',
  'running_received_ms', 'version', 'surface_order', 'settled_fence', 'settled_as',
  'factor_row', 'factor_slot', 'factor_fitted', 'factor_version', 'factor_since'})

if now.settled_fence == fence then
  return {now.settled_as, now.version or ''}
end
if now.state ~= 'running' or now.fence ~= fence or now.token ~= token or now.running_order ~= order then
  count(state, 'fenced')
  return {'fenced', ''}
end

-- Everything that may fail on a damaged number is worked out before the first write: a script is not rolled back.
local us = now_us()
local previous = now.version or '0'
local version = ticked(previous, us)
local end_to_end_us = whole(us - tonumber(now.running_as_of) * 1000)
local since_received_us = whole(us - tonumber(now.running_received_ms) * 1000)

local function observe(name, duration_us)
  local bucket = 'inf'
  for bound in string.gmatch(bounds_us, '[^,]+') do
    if tonumber(duration_us) <= tonumber(bound) then
      bucket = bound
      break
    end
  end
  count(histograms, name .. ':' .. bucket)
  redis.call('HINCRBY', histograms, name .. ':sum_us', duration_us)
end

-- Its factors wait for those of the next slot of time; of one slot the last fitted surface has its row, else the last.
local function keep_factors()
  if row == '' then
    if now.factor_version then
      redis.call('DEL', factors)
      redis.call('HDEL', state, 'factor_row', 'factor_slot', 'factor_fitted', 'factor_version', 'factor_since')
    end
    return
  end
  local same_slot = now.factor_slot == slot
  if now.factor_row and not same_slot then
    local name = (now.factor_version or '') .. '-0'
    local added = redis.pcall('XADD', factors, 'MAXLEN', '=', rows_kept, name, 'row', now.factor_row)
    if type(added) == 'table' and added.err then -- a damaged name: the stream might refuse every later one, too
      redis.call('DEL', factors)
    end
    redis.call('XTRIM', factors, 'MINID', '=', whole(math.max(0, us - rows_age_us)) .. '-0')
  end
  if fitted or not same_slot or now.factor_fitted ~= '1' then
    redis.call('HSET', state, 'factor_row', row, 'factor_slot', slot, 'factor_fitted', fitted and '1' or '0')
  end
  local unbroken = now.factor_version == previous and now.factor_since
  redis.call('HSET', state, 'factor_version', version, 'factor_since', unbroken or version)
end

local function publish()
  local envelope = {underlying, version, previous, now.running_as_of, now.running_sequence,
    now.running_received_ms, ms_of(us)}
  local surface = {'prev_version', previous, 'as_of', now.running_as_of, 'sequence', now.running_sequence,
    'received_ms', now.running_received_ms, 'calibrated_ms', ms_of(us),
    'check', redis.sha1hex(table.concat(envelope, '|')), 'document', document, 'state', maintenance}
  redis.call('XADD', history, 'MAXLEN', '=', history_kept, version .. '-0', unpack(surface))
  redis.call('XADD', chains, 'MAXLEN', '=', chains_kept, version .. '-0', 'as_of', now.running_as_of,
    'sequence', now.running_sequence, 'chain', fitted_chain, 'state', fitted_state)
  -- A version is the microsecond of its publication, or later.
  for _, kept in ipairs({history, chains}) do
    redis.call('XTRIM', kept, 'MINID', '=', whole(math.max(0, us - history_age_us)) .. '-0')
  end
  local number = redis.call('HINCRBY', counters, 'updates', 1)
  redis.call('XADD', updates, 'MAXLEN', '~', updates_kept, '*', 'underlying', underlying, 'version', version,
    'number', whole(number), unpack(surface))
  keep_factors()
  redis.call('HSET', state, 'version', version, 'surface_order', order)
  redis.call('HDEL', state, 'maintenance')
  observe('end_to_end', end_to_end_us)
  observe('received_to_published', since_received_us)
end

-- Kind, message and values of each event follow the other arguments.
local function record_all(of_version)
  for i = FIRST_EVENT, #ARGV, 3 do
    record(log, underlying, us, of_version, ARGV[i], ARGV[i + 1], ARGV[i + 2])
  end
end

dequeue(queue, token)
local settled = 'failed'
if verdict == 'surface' then
  count(state, 'fitted')
  settled = 'kept_newer'
  if not now.surface_order or order >= now.surface_order then
    publish()
    record_all(version)
    settled = 'published'
  end
else
  count(state, 'failed')
  redis.call('HSET', state, 'failure', reason, 'failure_as_of', now.running_as_of)
  if maintenance ~= '' then
    redis.call('HSET', state, 'maintenance', maintenance)
  end
  record_all('')
end
count(state, 'calibration:' .. outcome)
if calibration_us ~= '' then
  observe('calibration_duration', calibration_us)
  observe('queue_wait', queue_wait_us)
end

redis.call('HSET', state, 'attempts', '0', 'settled_fence', fence, 'settled_as', settled)
if now.dirty then
  redis.call('HDEL', state, 'dirty')
  enqueue(queue, state, underlying, us)
else
  redis.call('HSET', state, 'state', 'idle')
  redis.call('DEL', chain)
end
return {settled, settled == 'published' and version or ''}
