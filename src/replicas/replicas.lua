-- Sends a command, or the answer to one, to every replica.
--
-- KEYS[1]  channel    ARGV[1]  the message
--
-- Returns the number of replicas that got it; in a cluster, of those on the same node only.

return redis.call('PUBLISH', KEYS[1], ARGV[1])
