-- Sends a command, or the answer to one, to every replica.
--
-- KEYS[1]  channel    ARGV[1]  the message
--
-- Returns how many replicas got it; in a cluster only those on the same node.

return redis.call('PUBLISH', KEYS[1], ARGV[1])
