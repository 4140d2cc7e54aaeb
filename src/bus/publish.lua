-- Publishes events as one step: idempotency, seq, history, announcement.
--
-- KEYS[2]  sorted set: room -> seq of its last event
-- KEYS[n]  histories and idempotency keys, as the events refer to them
-- ARGV[2]  life that the keys were made for    ARGV[3]  channel
-- ARGV[4]  events kept per room                ARGV[5]  how long, in ms
-- ARGV[6]  rooms remembered                    ARGV[7]  how long an idempotency key is remembered, in ms
-- then six for each event: room, type, data, flags ('e' ephemeral), index in KEYS of its history, and of its key (0: none)
--
-- Returns { 'moved', life } when the keys belong to another life: nothing was done, make them anew; or
-- { 'ok', epoch, at in ms, one for each event: its seq, with a '+' behind it when the room was not known before; or
-- '=' and the first answer, 'epoch-seq at' }.
--
-- Announces on the channel, in pieces of at most PIECE_BYTES, so that no subscriber's output buffer is hit by one message:
--   E \n epoch \n seq of the first \n at \n number of events \n  then for each: room \n type \n flags \n bytes of data \n data

local PIECE_BYTES = 524288
local ROOMS_TTL_MS = 604800000
local TRIM_EVERY = 16
local TRIM_AT_MOST = 64

local state = read_state()
if state.life ~= ARGV[2] then return { 'moved', state.life } end

local channel, history_size, history_ttl = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
local at_text = digits(at)
local first = state.seq + 1
local seq = state.seq
local answers = { 'ok', state.epoch, at_text }
local piece, piece_bytes, piece_first, piece_count = {}, 0, first, 0
local rooms_key = KEYS[2]

local forgot = redis.call('ZSCORE', rooms_key, '')
if not forgot then
  -- The set is new, or was lost: whatever happened before is not known any more.
  redis.call('DEL', rooms_key)
  redis.call('ZADD', rooms_key, digits(seq), '')
  forgot = seq
end
forgot = tonumber(forgot)

local function announce()
  if piece_count == 0 then return end
  local head = 'E\n' .. state.epoch .. '\n' .. digits(piece_first) .. '\n' .. at_text .. '\n' .. piece_count .. '\n'
  redis.call('PUBLISH', channel, head .. table.concat(piece))
  piece, piece_bytes, piece_first, piece_count = {}, 0, seq + 1, 0
end

local function trim_by_age(key)
  local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', TRIM_AT_MOST)
  -- When all of them are old, the last one stays until next time: what lies behind it was not looked at.
  local keep_from = oldest[#oldest] and oldest[#oldest][1]
  for _, entry in ipairs(oldest) do
    local entry_at = tonumber(string.match(entry[2][2], '^%d+\n(%d+)\n'))
    if entry_at >= at - history_ttl then
      keep_from = entry[1]
      break
    end
  end
  if keep_from and keep_from ~= oldest[1][1] then redis.call('XTRIM', key, 'MINID', keep_from) end
end

for i = 8, #ARGV, 6 do
  local room, type, data, flags = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local history_key, idempotency_key = KEYS[tonumber(ARGV[i + 4])], KEYS[tonumber(ARGV[i + 5])]
  local known = idempotency_key and redis.call('GET', idempotency_key)
  if known then
    answers[#answers + 1] = '=' .. known
  else
    seq = seq + 1
    local seq_text = digits(seq)
    local answer = seq_text
    -- First, so that a script that fails further on leaves a hole that everyone sees, and not a position given twice.
    redis.call('HSET', KEYS[1], 'seq', seq_text)
    if flags ~= 'e' then
      local before = redis.call('ZSCORE', rooms_key, room)
      if not before then
        before = digits(forgot)
        answer = seq_text .. '+'
      end
      redis.call('ZADD', rooms_key, seq_text, room)
      if history_size > 0 then
        redis.call('XADD', history_key, 'MAXLEN', history_size, seq_text .. '-0', 'e',
          before .. '\n' .. at_text .. '\n' .. type .. '\n' .. data)
        redis.call('PEXPIRE', history_key, history_ttl)
        if seq % TRIM_EVERY == 0 then trim_by_age(history_key) end
      end
    end
    if idempotency_key then
      redis.call('SET', idempotency_key, state.epoch .. '-' .. seq_text .. ' ' .. at_text, 'PX', ARGV[7])
    end
    answers[#answers + 1] = answer
    piece[#piece + 1] = room .. '\n' .. type .. '\n' .. flags .. '\n' .. #data .. '\n' .. data
    piece_count = piece_count + 1
    piece_bytes = piece_bytes + #data
    if piece_bytes >= PIECE_BYTES then announce() end
  end
end
announce()

local over = redis.call('ZCARD', rooms_key) - 1 - tonumber(ARGV[6])
if over > 0 then
  -- Rank 0 is the empty member: what was forgotten lies before everything that is remembered.
  local last = redis.call('ZRANGE', rooms_key, over, over, 'WITHSCORES')
  redis.call('ZREMRANGEBYRANK', rooms_key, 1, over)
  redis.call('ZADD', rooms_key, last[2], '')
end
redis.call('PEXPIRE', rooms_key, math.max(ROOMS_TTL_MS, 2 * history_ttl))

return answers
