-- Users whose credentials were revoked: a sorted set, user -> when, in ms since 1970.
--
-- KEYS[1]  the set    ARGV[1]  forget what is older than this    ARGV[2..]  user, when, user, when ...: revoked at least then
--
-- Returns all of them, { user, when, user, when ... }, when nothing is given to remember.

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 1], ARGV[i])
end
if #ARGV > 1 then return {} end
return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
