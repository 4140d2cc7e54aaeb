-- A part that comes after counter.lua and before every script that appends events to rooms: idempotency, seq, history, announcement.
--
-- Needs KEYS[1], the counter; read_state and digits of counter.lua. Every other key comes as an argument.
--
-- Gives
--   begin_append(state, rooms_key, channel, limits)  a publisher, for the calls below. state: of read_state. rooms_key: sorted set, room
--     -> seq of its last event. limits: history_size, events kept per room; history_ttl and key_ttl, in ms; rooms, how many are remembered
--   append(publisher, room, type, data, flags, history_key, idempotency_key)  the event's answer: its seq, and a '+' after it if the
--     room was not known before; or '=' and the first answer, 'epoch-seq at', if the key was used before. flags: 'e' for ephemeral.
--     history_key: stream; idempotency_key: string, or nil
--   end_append(publisher)  announces the remaining events and forgets the oldest rooms; to be called once, at the end
--
-- Announces on the channel, in pieces, so that one message does not fill a subscriber's output buffer. A piece ends with the event that
-- brings its data to PIECE_BYTES:
--   E \n epoch \n seq of the first \n at \n number of events \n  then for each: room \n type \n flags \n bytes of data \n data

local PIECE_BYTES = 524288
local ROOMS_TTL_MS = 604800000
local TRIM_EVERY = 16
local TRIM_AT_MOST = 64

local function begin_append(state, rooms_key, channel, limits)
  local time = redis.call('TIME')
  local at = time[1] * 1000 + math.floor(time[2] / 1000)
  local forgot = redis.call('ZSCORE', rooms_key, '')
  if not forgot then
    -- The set is new, or was lost: nothing before this is known any more.
    redis.call('DEL', rooms_key)
    redis.call('ZADD', rooms_key, digits(state.seq), '')
    forgot = state.seq
  end
  return {
    state = state,
    rooms_key = rooms_key,
    channel = channel,
    limits = limits,
    at = at,
    at_text = digits(at),
    forgot = tonumber(forgot),
    seq = state.seq,
    piece = {},
    piece_bytes = 0,
    piece_first = state.seq + 1,
  }
end

local function announce(publisher)
  local piece = publisher.piece
  if #piece == 0 then return end
  local head = 'E\n' .. publisher.state.epoch .. '\n' .. digits(publisher.piece_first) .. '\n' .. publisher.at_text .. '\n'
    .. #piece .. '\n'
  redis.call('PUBLISH', publisher.channel, head .. table.concat(piece))
  publisher.piece, publisher.piece_bytes, publisher.piece_first = {}, 0, publisher.seq + 1
end

local function trim_by_age(history_key, oldest_at)
  local oldest = redis.call('XRANGE', history_key, '-', '+', 'COUNT', TRIM_AT_MOST)
  -- When all of them are old, the last one stays until next time: the entries after it were not looked at.
  local keep_from = oldest[#oldest] and oldest[#oldest][1]
  for _, entry in ipairs(oldest) do
    local entry_at = tonumber(string.match(entry[2][2], '^%d+\n(%d+)\n'))
    if entry_at >= oldest_at then
      keep_from = entry[1]
      break
    end
  end
  if keep_from and keep_from ~= oldest[1][1] then redis.call('XTRIM', history_key, 'MINID', keep_from) end
end

-- Keeps the event in its room's history; true if the room was not known before.
local function keep(publisher, seq_text, room, type, data, history_key)
  local rooms_key, limits = publisher.rooms_key, publisher.limits
  local before = redis.call('ZSCORE', rooms_key, room)
  redis.call('ZADD', rooms_key, seq_text, room)
  if limits.history_size > 0 then
    redis.call('XADD', history_key, 'MAXLEN', limits.history_size, seq_text .. '-0', 'e',
      (before or digits(publisher.forgot)) .. '\n' .. publisher.at_text .. '\n' .. type .. '\n' .. data)
    redis.call('PEXPIRE', history_key, limits.history_ttl)
    if publisher.seq % TRIM_EVERY == 0 then trim_by_age(history_key, publisher.at - limits.history_ttl) end
  end
  return not before
end

local function append(publisher, room, type, data, flags, history_key, idempotency_key)
  local known = idempotency_key and redis.call('GET', idempotency_key)
  if known then return '=' .. known end
  publisher.seq = publisher.seq + 1
  local seq_text = digits(publisher.seq)
  -- The seq is stored first: if the script fails further on, readers see a hole. Stored last, the same seq would be given twice.
  redis.call('HSET', KEYS[1], 'seq', seq_text)
  local is_new = flags ~= 'e' and keep(publisher, seq_text, room, type, data, history_key)
  if idempotency_key then
    redis.call('SET', idempotency_key, publisher.state.epoch .. '-' .. seq_text .. ' ' .. publisher.at_text,
      'PX', publisher.limits.key_ttl)
  end
  publisher.piece[#publisher.piece + 1] = room .. '\n' .. type .. '\n' .. flags .. '\n' .. #data .. '\n' .. data
  publisher.piece_bytes = publisher.piece_bytes + #data
  if publisher.piece_bytes >= PIECE_BYTES then announce(publisher) end
  return is_new and seq_text .. '+' or seq_text
end

local function end_append(publisher)
  announce(publisher)
  local rooms_key = publisher.rooms_key
  local over = redis.call('ZCARD', rooms_key) - 1 - publisher.limits.rooms
  if over > 0 then
    -- The empty member has rank 0, because every forgotten seq is lower than every remembered one.
    local last = redis.call('ZRANGE', rooms_key, over, over, 'WITHSCORES')
    redis.call('ZREMRANGEBYRANK', rooms_key, 1, over)
    redis.call('ZADD', rooms_key, last[2], '')
  end
  redis.call('PEXPIRE', rooms_key, math.max(ROOMS_TTL_MS, 2 * publisher.limits.history_ttl))
end
