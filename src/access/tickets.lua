-- One ticket. A hash: u user, f follow (JSON), i issued at, e session's end (ms since 1970 by the clock of this Redis),
-- c connection that uses it or '', n fencing token, r '1' when revoked. The key expires `firstUseMs` after it was made; once the
-- ticket is taken, with its session.
--
-- KEYS[1]  the ticket
-- KEYS[2]  sorted set of tombstones: hashes of revoked tickets that were unknown here, by when; the newest ten thousand
-- ARGV[1]  what to do:
--   make    ARGV u f sessionMs firstUseMs        returns { 'ok', i, e, use before }
--   find                                         returns { 'found', u, f, i, e } or { 'gone' }
--   take    ARGV connection, '1' returning       returns { 'taken', fence }, { 'held' } or { 'gone' }
--   leave   ARGV connection                      returns { 'ok' }
--   revoke  ARGV hash sessionMs                  returns { 'ok', 1 if it was good until then, else 0 }
--   keep    ARGV hash u f i e connection fence    returns { 'yours' }, { 'regained' }, { 'replaced' } or { 'revoked' }

local REMEMBERED_REVOKED = 10000

local key, op = KEYS[1], ARGV[1]

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function digits(number)
  return string.format('%.0f', number)
end

local function is_usable()
  local known = redis.call('HMGET', key, 'e', 'r')
  return known[1] and not known[2]
end

if op == 'make' then
  local issued_at = now()
  local ends_at = issued_at + tonumber(ARGV[4])
  local use_before = math.min(issued_at + tonumber(ARGV[5]), ends_at)
  redis.call('HSET', key, 'u', ARGV[2], 'f', ARGV[3], 'i', digits(issued_at), 'e', digits(ends_at), 'c', '', 'n', 0)
  redis.call('PEXPIREAT', key, digits(use_before))
  return { 'ok', digits(issued_at), digits(ends_at), digits(use_before) }
end

if op == 'find' then
  if not is_usable() then return { 'gone' } end
  local ticket = redis.call('HMGET', key, 'u', 'f', 'i', 'e')
  return { 'found', ticket[1], ticket[2], ticket[3], ticket[4] }
end

if op == 'take' then
  if not is_usable() then return { 'gone' } end
  if redis.call('HGET', key, 'c') ~= '' and ARGV[3] ~= '1' then return { 'held' } end
  redis.call('HSET', key, 'c', ARGV[2])
  redis.call('PEXPIREAT', key, redis.call('HGET', key, 'e'))
  return { 'taken', redis.call('HINCRBY', key, 'n', 1) }
end

if op == 'leave' then
  if redis.call('HGET', key, 'c') == ARGV[2] then redis.call('HSET', key, 'c', '') end
  return { 'ok' }
end

if op == 'revoke' then
  if redis.call('EXISTS', key) == 1 then
    return { 'ok', redis.call('HSET', key, 'r', '1') }
  end
  -- This Redis may have lost the ticket, and a replica with its stream may put it back: hence a tombstone. All are in one key and
  -- bounded, because anybody with an API key can make up tickets.
  local at, session_ms = now(), tonumber(ARGV[3])
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', digits(at - session_ms))
  redis.call('ZADD', KEYS[2], digits(at), ARGV[2])
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -REMEMBERED_REVOKED - 1)
  redis.call('PEXPIRE', KEYS[2], digits(session_ms))
  return { 'ok', 0 }
end

if op == 'keep' then
  if redis.call('HGET', key, 'r') or redis.call('ZSCORE', KEYS[2], ARGV[2]) then return { 'revoked' } end
  local fence = tonumber(redis.call('HGET', key, 'n') or '-1')
  if fence > tonumber(ARGV[8]) then return { 'replaced' } end
  redis.call('HSET', key, 'u', ARGV[3], 'f', ARGV[4], 'i', ARGV[5], 'e', ARGV[6], 'c', ARGV[7], 'n', ARGV[8])
  redis.call('PEXPIREAT', key, ARGV[6])
  return { fence >= 0 and fence < tonumber(ARGV[8]) and 'regained' or 'yours' }
end

return redis.error_reply('ERR unknown operation')
