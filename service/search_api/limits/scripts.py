"""What runs inside Redis. Windows are fixed and follow Redis' own clock, so every worker counts in the same ones."""

# One call decides about a request with an API key: failed attempts of its address, the key's record, the hour, the
# burst window, the requests that run now, the state of the owner's connections, and a cached answer if there is one.
# Only an admitted request is counted. A request that is answered from the cache is over with this very call and
# holds no lease; any other holds one until it is released or until it ends by itself.
#
# KEYS: record of the key, its counter of hours, its counter of bursts, its leases.
# ARGV: 1 prefix of all names; 2 counter of failed attempts ('' for none), 3 their limit; 4 record as MySQL has it (''
# for Redis' own), 5 seconds to keep it (0 for not); 6 tiers; 7 seconds of a burst window; 8 digest of the question (''
# for none); 9 lease, 10 its milliseconds; 11 to 13 for the hour and 14 to 16 for the burst: window, count in it as
# this worker last saw it, requests that this worker admitted in it while Redis was away.
# Answer: outcome, record, used in the hour, used in the burst window, milliseconds of Redis' clock, state of the
# owner's connections, cached answer or nil, 1 when a lease is held.
ADMIT = """
local time = redis.call('TIME')
local seconds = tonumber(time[1])
local ms = seconds * 1000 + math.floor(tonumber(time[2]) / 1000)
local prefix = ARGV[1]

if ARGV[2] ~= '' then
  local failed = tonumber(redis.call('GET', ARGV[2] .. math.floor(seconds / 60)) or '0')
  if failed >= tonumber(ARGV[3]) then return {'address', '', failed, 0, ms} end
end

local record = ARGV[4]
if record == '' then
  record = redis.call('GET', KEYS[1])
  if not record then return {'unknown', '', 0, 0, ms} end
  if record == '-' then return {'changed', '', 0, 0, ms} end
elseif ARGV[5] ~= '0' then
  redis.call('SET', KEYS[1], record, 'EX', ARGV[5], 'NX')
end
local owner, tier, ends = string.match(record, '^[^|]*|([^|]*)|([^|]*)|[^|]*|(%d*)$')
if ends ~= '' and ms >= tonumber(ends) then return {'expired', record, 0, 0, ms} end

local function counted(name, window, life, first)
  local used = tonumber(redis.call('GET', name) or '0')
  if ARGV[first] ~= tostring(window) then return used end
  -- Redis may have lost what it knew, and this worker may have admitted requests without it.
  local whole = math.max(used, tonumber(ARGV[first + 1])) + tonumber(ARGV[first + 2])
  if whole ~= used then redis.call('SET', name, whole, 'EX', life) end
  return whole
end
local hourly, burst, most = string.match(ARGV[6], tier .. '=(%d+)/(%d+)/(%d+)')
local hour, slot = math.floor(seconds / 3600), math.floor(seconds / tonumber(ARGV[7]))
local hour_name, slot_name = KEYS[2] .. hour, KEYS[3] .. slot
local in_hour = counted(hour_name, hour, 3700, 11)
local in_slot = counted(slot_name, slot, ARGV[7] + 10, 14)
if in_hour >= tonumber(hourly) then return {'hour', record, in_hour, in_slot, ms} end
if in_slot >= tonumber(burst) then return {'burst', record, in_hour, in_slot, ms} end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ms)
if redis.call('ZCARD', KEYS[4]) >= tonumber(most) then return {'concurrent', record, in_hour, in_slot, ms} end

redis.call('SET', hour_name, in_hour + 1, 'EX', 3700)
redis.call('SET', slot_name, in_slot + 1, 'EX', ARGV[7] + 10)
local state_name = prefix .. 'connections:' .. owner
local state = redis.call('GET', state_name)
if not state then
  state = time[1] .. '.' .. time[2]
  redis.call('SET', state_name, state, 'EX', 86400)
end
local found = ARGV[8] ~= '' and redis.call('GET', prefix .. 'search:' .. owner .. ':' .. state .. ':' .. ARGV[8])
local leased = 0
if not found then
  redis.call('ZADD', KEYS[4], ms + ARGV[10], ARGV[9])
  redis.call('PEXPIRE', KEYS[4], ARGV[10])
  leased = 1
end
return {'ok', record, in_hour + 1, in_slot + 1, ms, state, found, leased}
"""

# Counts attempts in a fixed window. KEYS: the counter. ARGV: seconds of the window, limit, attempts to add (0 to look).
# Answer: attempts in the window after this one, seconds until it ends, 1 when the attempt is allowed.
COUNT = """
local seconds = tonumber(redis.call('TIME')[1])
local length = tonumber(ARGV[1])
local name = KEYS[1] .. math.floor(seconds / length)
local used = tonumber(redis.call('GET', name) or '0')
local left = length - seconds % length
if used >= tonumber(ARGV[2]) then return {used, left, 0} end
if ARGV[3] ~= '0' then
  used = used + tonumber(ARGV[3])
  redis.call('SET', name, used, 'EX', length + 10)
end
return {used, left, 1}
"""
