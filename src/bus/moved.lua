-- Tells a replica the bus's position, and which rooms moved since another one. Comes after counter.lua.
--
-- KEYS[2]  sorted set: room -> seq of its last event
-- ARGV[2]  life that the keys were made for    ARGV[3]  epoch and ARGV[4] seq of the position
--
-- Returns { 'moved', life }, or { 'ok', epoch, seq, the position's kind (see resolve), the position's seq in the current
-- order, highest seq forgotten, rooms... }.

local state = read_state()
if state.life ~= ARGV[2] then return { 'moved', state.life } end

local asked = tonumber(ARGV[4])
local c, kind, given = resolve(state, ARGV[3], asked)
if kind == 'future' then
  -- Positions were given that this server does not know: its data was set back under the same replication id.
  open_epoch(state, state.replid)
elseif kind == 'lineage' and asked > given then
  -- The old primary went on taking events after this one was promoted. Those events are lost. Readers that were already told of the
  -- failover do not know that, so another epoch tells them.
  state.lineage = string.gsub(state.lineage, ARGV[3] .. ':(%d+):%d+', ARGV[3] .. ':%1:' .. digits(asked), 1)
  open_epoch(state, state.replid)
end
local answer = { 'ok', state.epoch, digits(state.seq), kind, digits(c), digits(forgotten(state, KEYS[2])) }
for _, room in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. digits(c), '+inf')) do
  if room ~= '' then answer[#answer + 1] = room end
end
return answer
