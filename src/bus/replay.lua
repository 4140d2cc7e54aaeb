-- Reads what some rooms got after a position, in bus order, with the proof of what is whole.
--
-- KEYS[2]  sorted set: room -> seq of its last event    KEYS[3...]  histories of the rooms
-- ARGV[2]  life that the keys were made for
-- ARGV[3]  epoch and ARGV[4] seq of the position        ARGV[5]  read no further than this seq ('' for all there is)
-- ARGV[6]  how long events are kept, in ms              ARGV[7]  entries read at once, over all rooms that moved
-- ARGV[8]  bytes of data after which a page ends
-- ARGV[9...]  the rooms
--
-- Returns { 'moved', life }, or { 'ok', epoch, up to which seq, 1 if more lies behind it, lost rooms as indices from 1,
-- events as flat { room's index, seq, at, type, data } in no order }.
--
-- A room is whole after c when its last seq is at or before c; or when its first entry behind c says that the entry before
-- it in the room was at or before c; or, when the room is not known, when nothing behind c was forgotten.

local state = read_state()
if state.life ~= ARGV[2] then return { 'moved', state.life } end

local rooms_key = KEYS[2]
local c, kind = resolve(state, ARGV[3], tonumber(ARGV[4]))
local limit = state.seq
if ARGV[5] ~= '' then limit = math.min(limit, tonumber(ARGV[5])) end
local lost, events = {}, {}
local rooms = #ARGV - 8

if kind == 'unknown' or kind == 'future' then
  for i = 1, rooms do lost[i] = i end
  return { 'ok', state.epoch, digits(limit), 0, lost, events }
end

local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[6])
local forgot = forgotten(state, rooms_key)

local moved = {}
for i = 1, rooms do
  local last = redis.call('ZSCORE', rooms_key, ARGV[8 + i])
  if last then
    if tonumber(last) > c then moved[#moved + 1] = i end
  elseif c < forgot then
    lost[#lost + 1] = i
  end
end

-- In small portions as long as nothing is known of their size: reading large entries only to leave them out of the page would
-- keep the whole server busy, for every page of every reader.
local FIRST_PORTION = 4
local function read_entries(key, from, count, bytes)
  local entries, read_bytes = {}, 0
  while #entries < count and (read_bytes < bytes or #entries < 2) do
    local portion = FIRST_PORTION
    if #entries > 0 then portion = math.ceil((bytes - read_bytes) * #entries / math.max(1, read_bytes)) end
    portion = math.max(1, math.min(portion, count - #entries, 4 * FIRST_PORTION + 4 * #entries))
    local more = redis.call('XRANGE', key, from, '+', 'COUNT', portion)
    for _, entry in ipairs(more) do
      entries[#entries + 1] = entry
      read_bytes = read_bytes + #entry[2][2]
    end
    if #more < portion then return entries, true end
    from = '(' .. entries[#entries][1]
  end
  return entries, false
end

local count = math.max(2, math.floor(tonumber(ARGV[7]) / math.max(1, #moved)))
local bytes = math.floor(tonumber(ARGV[8]) / math.max(1, #moved))
local horizon = limit
local from = '(' .. digits(c) .. '-0'
local found = {}
for _, i in ipairs(moved) do
  local entries, is_all = read_entries(KEYS[2 + i], from, count, bytes)
  local is_whole = false
  local is_first = true
  for _, entry in ipairs(entries) do
    local before, at, type, data = string.match(entry[2][2], '^(%d+)\n(%d+)\n([^\n]*)\n(.*)$')
    -- Older than they are kept: as if they were not there.
    if tonumber(at) >= oldest then
      if is_first then is_whole = tonumber(before) <= c end
      is_first = false
      found[#found + 1] = { i, tonumber(string.match(entry[1], '^%d+')), at, type, data }
    end
  end
  if not is_whole then lost[#lost + 1] = i end
  if not is_all then horizon = math.min(horizon, tonumber(string.match(entries[#entries][1], '^%d+'))) end
end

for _, event in ipairs(found) do
  if event[2] <= horizon then
    local n = #events
    events[n + 1], events[n + 2], events[n + 3], events[n + 4], events[n + 5] =
      event[1], digits(event[2]), event[3], event[4], event[5]
  end
end

if kind == 'lineage' then
  -- Events that the old primary took and the new one never had are lost without a trace: nothing can be called whole.
  for i = 1, rooms do lost[i] = i end
end

local has_more = 0
if horizon < limit then has_more = 1 end
return { 'ok', state.epoch, digits(horizon), has_more, lost, events }
