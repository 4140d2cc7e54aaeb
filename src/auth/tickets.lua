-- One ticket. A hash: u user, f follow (JSON), i issued at, e session's end (ms since 1970), c connection that uses it or '',
-- n turn, r '1' when revoked. Redis ends it: 60 s after it was made unless it is taken, then with its session.
--
-- KEYS[1]  the ticket    ARGV[1]  what to do:
--   make    ARGV u f i e firstUseMs         returns { 'ok' }
--   find                                    returns { 'found', u, f, i, e } or { 'gone' }
--   take    ARGV connection, '1' returning  returns { 'taken', turn }, { 'held' } or { 'gone' }
--   leave   ARGV connection                 returns { 'ok' }
--   revoke  ARGV sessionMs                  returns { 'ok' }
--   keep    ARGV u f i e connection turn    returns { 'yours' }, { 'replaced' } or { 'revoked' }

local key, op = KEYS[1], ARGV[1]

local function is_usable()
  local known = redis.call('HMGET', key, 'e', 'r')
  return known[1] and not known[2]
end

if op == 'make' then
  redis.call('HSET', key, 'u', ARGV[2], 'f', ARGV[3], 'i', ARGV[4], 'e', ARGV[5], 'c', '', 'n', 0)
  redis.call('PEXPIRE', key, ARGV[6])
  return { 'ok' }
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
  -- Also one that is not here: a Redis that forgot it may be given it back by a replica that has its stream.
  local is_known = redis.call('EXISTS', key) == 1
  redis.call('HSET', key, 'r', '1')
  if not is_known then redis.call('PEXPIRE', key, ARGV[2]) end
  return { 'ok' }
end

if op == 'keep' then
  if redis.call('HGET', key, 'r') then return { 'revoked' } end
  local turn = tonumber(redis.call('HGET', key, 'n') or '-1')
  if turn > tonumber(ARGV[7]) then return { 'replaced' } end
  redis.call('HSET', key, 'u', ARGV[2], 'f', ARGV[3], 'i', ARGV[4], 'e', ARGV[5], 'c', ARGV[6], 'n', ARGV[7])
  redis.call('PEXPIREAT', key, ARGV[5])
  return { 'yours' }
end

return redis.error_reply('ERR unknown operation')
