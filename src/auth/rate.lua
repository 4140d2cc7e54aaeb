-- Counts a request in its window.
--
-- KEYS[1]  the counter    ARGV[1]  the window, in ms
--
-- Returns { requests in this window, ms until it ends }

local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  return { count, tonumber(ARGV[1]) }
end
return { count, redis.call('PTTL', KEYS[1]) }
