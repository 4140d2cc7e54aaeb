-- Adds to buckets that all replicas share.
--
-- KEYS[n]  when the bucket will be empty, in ms since 1970 by the server's clock; it expires then
-- ARGV[n]  the charge, in ms; a negative one is a refund
--
-- Returns the debt of each bucket after that: the ms until it is empty, as text.

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local debts = {}
for i, key in ipairs(KEYS) do
  local empty_at = math.max(now, tonumber(redis.call('GET', key) or 0)) + tonumber(ARGV[i])
  local debt = math.max(0, empty_at - now)
  if debt > 0 then
    redis.call('SET', key, string.format('%.3f', empty_at), 'PX', math.ceil(debt))
  else
    redis.call('DEL', key)
  end
  debts[i] = string.format('%.3f', debt)
end
return debts
