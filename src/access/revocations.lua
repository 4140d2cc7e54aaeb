-- When users' credentials were last revoked: a sorted set, user -> ms since 1970 by the clock of this Redis. A user is 16 hex
-- digits (revocation-table.ts). The member 'sum' has a negative score, -1 - sum. The sum adds up every user's time and first 8
-- digits, modulo 2^40: a replica with the same count and sum has the same set, but for a chance of 1 in 2^40.
--
-- KEYS[1]  the set
-- ARGV[1]  how long an entry is kept, in ms. A call forgets a thousand old entries at most, so that no call takes long
-- ARGV[2]  what to do:
--   revoke  ARGV user, atLeast, step   Revokes the user now. If the clock was set back, `atLeast` (ms since 1970) is ahead of
--                                      now: then a second after it, at most `step` ms ahead. Answers that time
--   ask     ARGV user                  Answers when the user was revoked, or ''
--   put     ARGV user, at, user, at .. Enters a thousand users at most; a later time stays. Answers how many were news
--   page    ARGV from, last, count     Answers `count` users at most in order of time, from `from` (ms since 1970) on, or behind
--                                      the user `last`, who has that time: 'user,at,user,at,...'
--   mend    ARGV count, sum, right     Replaces the sum by `right` if the set still has this count and sum
--
-- Returns { now, the oldest time that may be in the set, users, sum, answer }

local PRUNED_AT_ONCE = 1000
local MODULUS = 2 ^ 40

local key, op = KEYS[1], ARGV[2]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function digits(number)
  return string.format('%.0f', number)
end

local function read_sum()
  local score = redis.call('ZSCORE', key, 'sum')
  return score and (-1 - tonumber(score)) or 0
end

local function add_to_sum(change)
  if change == 0 then return end
  redis.call('ZADD', key, digits(-1 - (read_sum() + change) % MODULUS), 'sum')
end

local function weight(user, at)
  return at + (tonumber(string.sub(user, 1, 8), 16) or 0)
end

-- Returns how the sum changes.
local function remember(user, at)
  local known = redis.call('ZSCORE', key, user)
  if known and tonumber(known) >= at then return 0 end
  redis.call('ZADD', key, digits(at), user)
  return known and (at - tonumber(known)) or weight(user, at)
end

local function forget(before)
  local old = redis.call('ZRANGEBYSCORE', key, 0, '(' .. digits(before), 'WITHSCORES', 'LIMIT', 0, PRUNED_AT_ONCE)
  if #old == 0 then return end
  local users, change = {}, 0
  for i = 1, #old, 2 do
    users[#users + 1] = old[i]
    change = change - weight(old[i], tonumber(old[i + 1]))
  end
  -- A Redis that takes no writes now can still be read.
  local removed = redis.pcall('ZREM', key, unpack(users))
  if type(removed) == 'number' then add_to_sum(change) end
end

local function page(from, last, count)
  local start
  local score = last ~= '' and redis.call('ZSCORE', key, last)
  -- Many users may share one time, so a page goes on behind a user. If `last` was revoked again meanwhile, it starts at `from` again.
  if score and tonumber(score) == from then
    start = redis.call('ZRANK', key, last) + 1
  else
    start = redis.call('ZCOUNT', key, '-inf', '(' .. digits(from))
  end
  return table.concat(redis.call('ZRANGE', key, start, start + count - 1, 'WITHSCORES'), ',')
end

local oldest = math.max(0, now - tonumber(ARGV[1]))
local answer = ''
forget(oldest)

if op == 'revoke' then
  local at, at_least = now, math.ceil(tonumber(ARGV[4]))
  if at_least > now then at = math.min(at_least + 1000, now + tonumber(ARGV[5])) end
  add_to_sum(remember(ARGV[3], at))
  answer = digits(tonumber(redis.call('ZSCORE', key, ARGV[3])))
elseif op == 'ask' then
  answer = redis.call('ZSCORE', key, ARGV[3]) or ''
elseif op == 'put' then
  local change, news = 0, 0
  for i = 3, #ARGV, 2 do
    local each = remember(ARGV[i], tonumber(ARGV[i + 1]))
    if each ~= 0 then news = news + 1 end
    change = change + each
  end
  add_to_sum(change)
  answer = digits(news)
elseif op == 'page' then
  answer = page(tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]))
end

local first = redis.call('ZRANGEBYSCORE', key, 0, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
if first then oldest = math.min(oldest, tonumber(first)) end
local users = redis.call('ZCARD', key)
if users > 0 and redis.call('ZSCORE', key, 'sum') then users = users - 1 end

if op == 'mend' and users == tonumber(ARGV[3]) and read_sum() == tonumber(ARGV[4]) then
  redis.call('ZADD', key, digits(-1 - tonumber(ARGV[5])), 'sum')
end
return { digits(now), digits(oldest), digits(users), digits(read_sum()), answer }
