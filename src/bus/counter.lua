-- A part that comes before every script of the bus: reads the counter, and notices a Redis that lost or rolled back data.
--
-- Needs KEYS[1] and ARGV[1], which every script of the bus gets:
--
-- KEYS[1]  hash: life    names the keys that belong to this counter; a new one begins when the state is gone
--                epoch   names the positions; a new one begins with a life, and when the primary changed
--                seq     of the last event
--                replid  replication id of the primary that the epoch belongs to
--                lineage "epoch:end:given,...", newest first: an earlier epoch of this life, the seq where it ended on this server,
--                        and the highest seq that any server is known to have given in it
-- ARGV[1]  a fresh random name, for a life or an epoch that begins now
--
-- Gives read_state()                       { life, epoch, seq, replid, lineage }; begins a life or an epoch where one is due
--       open_epoch(state, replid)          ends the epoch of `state` and begins the one that ARGV[1] names
--       resolve(state, epoch, seq)         where a position lies in the current order
--       forgotten(state, rooms_key)        the highest seq that the rooms' set forgot
--       digits(number)                     a whole number as text, without an exponent
--
-- Replication is asynchronous: a new primary may lack the newest events and would give their positions to other events. A primary gets a
-- new replication id when it is promoted, restarted or started empty. That id is compared here, in the same step as the use of the counter.

local LINEAGE_LENGTH = 16

local function open_epoch(state, replid)
  local lineage = string.format('%s:%.0f:%.0f', state.epoch, state.seq, state.seq)
  local kept = 1
  for ancestor in string.gmatch(state.lineage, '[^,]+') do
    if kept >= LINEAGE_LENGTH then break end
    lineage = lineage .. ',' .. ancestor
    kept = kept + 1
  end
  state.epoch, state.replid, state.lineage = ARGV[1], replid, lineage
  redis.call('HSET', KEYS[1], 'epoch', state.epoch, 'replid', replid, 'lineage', lineage)
end

local function read_state()
  local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
  local h = redis.call('HMGET', KEYS[1], 'life', 'epoch', 'seq', 'replid', 'lineage')
  if not (h[1] and h[2] and h[3] and h[4] and h[5]) then
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'life', ARGV[1], 'epoch', ARGV[1], 'seq', '0', 'replid', replid, 'lineage', '')
    return { life = ARGV[1], epoch = ARGV[1], seq = 0, replid = replid, lineage = '' }
  end
  local state = { life = h[1], epoch = h[2], seq = tonumber(h[3]), replid = h[4], lineage = h[5] }
  if state.replid ~= replid then open_epoch(state, replid) end
  return state
end

-- Returns the seq of the position (epoch, seq) in the current order, and the position's kind:
--   'same'     in the current epoch
--   'lineage'  in an earlier epoch of this life: the seq is at most where that epoch ended. Also returns the epoch's highest known seq
--   'future'   nobody was given it: the seq is the newest one
--   'unknown'  in no epoch of the lineage: the seq is 0
local function resolve(state, epoch, seq)
  if epoch == state.epoch then
    if seq > state.seq then return state.seq, 'future' end
    return seq, 'same'
  end
  for ancestor, ended, given in string.gmatch(state.lineage, '(%w+):(%d+):(%d+)') do
    if ancestor == epoch then return math.min(seq, tonumber(ended)), 'lineage', tonumber(given) end
  end
  return 0, 'unknown'
end

local function digits(number)
  return string.format('%.0f', number)
end

-- The sorted set keeps the highest forgotten seq as the score of its empty member. Without that member the set itself was lost.
local function forgotten(state, rooms_key)
  return tonumber(redis.call('ZSCORE', rooms_key, '') or state.seq)
end
