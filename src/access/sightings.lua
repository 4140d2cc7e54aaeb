-- When a credential was first shown. Only credentials that are dated ahead are noted.
--
-- KEYS[1]  string: ms since 1970 by the clock of this Redis
-- ARGV[1]  when the credential ends, in ms since 1970: it is remembered until then; empty to look only
--
-- Returns { now, when it was first shown, or '' }

-- A hundred years in ms. A credential may bear any date, and SET fails for one that is too large.
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
