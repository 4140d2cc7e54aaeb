-- Publishes events as one step. Comes after counter.lua, which describes KEYS[1] and ARGV[1], and append.lua.
--
-- KEYS[2]  sorted set: room -> seq of its last event
-- KEYS[n]  histories and idempotency keys, as the events refer to them
-- ARGV[2]  life that the keys were made for    ARGV[3]  channel
-- ARGV[4]  events kept per room                ARGV[5]  how long, in ms
-- ARGV[6]  rooms remembered                    ARGV[7]  how long an idempotency key is remembered, in ms
-- then six for each event: room, type, data, flags ('e' ephemeral), index in KEYS of its history, and of its key (0: none)
--
-- Returns { 'moved', life } when the keys belong to another life: nothing was done, and the caller makes the keys anew; or
-- { 'ok', epoch, at in ms, one for each event: its seq, and a '+' after it when the room was not known before; or
-- '=' and the first answer, 'epoch-seq at' }.

local state = read_state()
if state.life ~= ARGV[2] then return { 'moved', state.life } end

local publisher = begin_append(state, KEYS[2], ARGV[3], {
  history_size = tonumber(ARGV[4]),
  history_ttl = tonumber(ARGV[5]),
  rooms = tonumber(ARGV[6]),
  key_ttl = ARGV[7],
})
local answers = { 'ok', state.epoch, publisher.at_text }
for i = 8, #ARGV, 6 do
  answers[#answers + 1] = append(publisher, ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3],
    KEYS[tonumber(ARGV[i + 4])], KEYS[tonumber(ARGV[i + 5])])
end
end_append(publisher)
return answers
