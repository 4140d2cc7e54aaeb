-- When a credential was first shown, for those that were shown before the date that they bear.
--
-- KEYS[1]  string: ms since 1970 by the clock of this Redis
-- ARGV[1]  until when that matters, in ms since 1970; empty to look only
--
-- Returns { now, when it was first shown, or '' }

-- A hundred years: no date in a credential may be one that Redis cannot take.
local LONGEST = 3153600000000

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function digits(number)
  return string.format('%.0f', number)
end

if ARGV[1] ~= '' then
  local left = math.min(LONGEST, math.ceil(tonumber(ARGV[1]) - now))
  if left > 0 then redis.call('SET', KEYS[1], digits(now), 'PX', digits(left), 'NX') end
  return { digits(now), redis.call('GET', KEYS[1]) or digits(now) }
end
return { digits(now), redis.call('GET', KEYS[1]) or '' }
