-- Reads a page of the events that some rooms got after a position, in bus order, and names the rooms that may miss some. Comes after
-- counter.lua.
--
-- KEYS[2]  sorted set: room -> seq of its last event    KEYS[3...]  histories of the rooms
-- ARGV[2]  life that the keys were made for
-- ARGV[3]  epoch and ARGV[4] seq of the position        ARGV[5]  read no further than this seq ('' for all there is)
-- ARGV[6]  how long events are kept, in ms              ARGV[7]  events after which a page ends
-- ARGV[8]  bytes after which a page ends; an event counts its data and OVERHEAD_BYTES
-- ARGV[9...]  two for each room: its name, and the seq of its next event as the page before returned it (0: not known)
--
-- Returns { 'moved', life }, or { 'ok', epoch, up to which seq, 1 if more follows it, lost rooms as indices from 1,
-- events as flat { room's index, seq, at, type, data } in bus order, next events as flat { room's index, seq } }.
--
-- A room is whole after c when its last seq is at or before c; or when its first entry after c says that the entry before
-- it in the room was at or before c; or, when the room is not known, when nothing after c was forgotten.
--
-- Histories are merged by the seq of their next entry, and each is read on only when its turn comes. Only its first entry tells where a
-- history goes on, and that entry may be large. So a page tells the next page where each history goes on: otherwise a reader of many rooms
-- with large events would make the server read all of those entries for each page.

local OVERHEAD_BYTES = 100
-- A history is read in small portions as long as nothing is known of the size of its entries.
local FIRST_PORTION = 4
local MANY_ROOMS = 8
local MAX_PORTION = 128

local state = read_state()
if state.life ~= ARGV[2] then return { 'moved', state.life } end

local rooms_key = KEYS[2]
local c, kind = resolve(state, ARGV[3], tonumber(ARGV[4]))
local limit = state.seq
if ARGV[5] ~= '' then limit = math.min(limit, tonumber(ARGV[5])) end
local rooms = (#ARGV - 8) / 2

if kind == 'unknown' or kind == 'future' then
  local all = {}
  for i = 1, rooms do all[i] = i end
  return { 'ok', state.epoch, digits(limit), 0, all, {}, {} }
end

local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[6])
local max_events, max_bytes = tonumber(ARGV[7]), tonumber(ARGV[8])
local forgot = forgotten(state, rooms_key)
local is_lost = {}

-- Sources: histories that have entries after c, as a binary heap by the seq of their next entry.
local heap = {}

local function sift_up(i)
  local source = heap[i]
  while i > 1 do
    local parent = math.floor(i / 2)
    if heap[parent].next <= source.next then break end
    heap[i] = heap[parent]
    i = parent
  end
  heap[i] = source
end

local function sift_down()
  local source, size, i = heap[1], #heap, 1
  while 2 * i <= size do
    local child = 2 * i
    if child < size and heap[child + 1].next < heap[child].next then child = child + 1 end
    if source.next <= heap[child].next then break end
    heap[i] = heap[child]
    i = child
  end
  heap[i] = source
end

local function remove_first()
  local size = #heap
  heap[1] = heap[size]
  heap[size] = nil
  if size > 1 then sift_down() end
end

local page_bytes = 0
local events = {}

-- Reads on; false when there is nothing more.
local function read_portion(source, count)
  local entries = redis.call('XRANGE', source.key, source.from, '+', 'COUNT', count)
  if #entries == 0 then return false end
  source.entries, source.at, source.from = entries, 1, '(' .. entries[#entries][1]
  source.count = source.count + #entries
  for _, entry in ipairs(entries) do source.bytes = source.bytes + #(entry[2][2] or '') end
  return true
end

-- An estimate of the entries that this history will put into the rest of the page.
local function next_portion(source)
  local average = source.bytes / source.count + OVERHEAD_BYTES
  return math.min(MAX_PORTION, math.max(1, math.ceil((max_bytes - page_bytes) / average / #heap)))
end

-- Moves to the next entry; false when there is none.
local function advance(source)
  source.at = source.at + 1
  return source.entries[source.at] ~= nil or read_portion(source, next_portion(source))
end

-- The current entry: seq of the entry before it in the room, when it was published, type and data. Nil if another writer put it there.
local function read_entry(source)
  local entry = source.entries[source.at]
  source.next = tonumber(string.match(entry[1], '^%d+'))
  return string.match(entry[2][2] or '', '^(%d+)\n(%d+)\n([^\n]*)\n(.*)$')
end

-- Reads the beginning of a history up to its first entry that is not too old. That entry proves that the room is whole before it, or that
-- something is missing. False if there is no such entry.
local function begin(source, portion)
  local is_there = read_portion(source, portion)
  while is_there do
    local before, at = read_entry(source)
    if before and tonumber(at) >= oldest then
      if tonumber(before) > c then is_lost[source.i] = true end
      return true
    end
    is_there = advance(source)
  end
  is_lost[source.i] = true
  return false
end

local function take(source)
  local _, at, type, data = read_entry(source)
  if not at or tonumber(at) < oldest then
    is_lost[source.i] = true
    return
  end
  local n = #events
  events[n + 1], events[n + 2], events[n + 3], events[n + 4], events[n + 5] =
    source.i, digits(source.next), at, type, data
  page_bytes = page_bytes + #data + OVERHEAD_BYTES
end

local moved = {}
for i = 1, rooms do
  local last = redis.call('ZSCORE', rooms_key, ARGV[7 + 2 * i])
  if last then
    if tonumber(last) > c then moved[#moved + 1] = i end
  elseif c < forgot then
    is_lost[i] = true
  end
end

local portion = #moved > MANY_ROOMS and 1 or FIRST_PORTION
for _, i in ipairs(moved) do
  -- After a failover, the seq came from another server, and its history may differ.
  local told = kind == 'same' and tonumber(ARGV[8 + 2 * i]) or 0
  local source = { i = i, key = KEYS[2 + i], from = '(' .. digits(c) .. '-0', next = told, bytes = 0, count = 0 }
  if told > c or begin(source, portion) then
    heap[#heap + 1] = source
    sift_up(#heap)
  end
end

local up_to, has_more = limit, 0
while #heap > 0 and heap[1].next <= limit do
  local source = heap[1]
  if page_bytes >= max_bytes or #events >= 5 * max_events then
    has_more = 1
    break
  end
  if source.entries then
    take(source)
    up_to = source.next
    if advance(source) then
      read_entry(source)
      sift_down()
    else
      remove_first()
    end
  elseif begin(source, portion) then
    sift_down()
  else
    remove_first()
  end
end
if has_more == 0 then up_to = limit end

local lost, next_seqs = {}, {}
for i = 1, rooms do
  -- Events that the old primary took and the new one never had are lost without a trace: nothing can be called whole.
  if is_lost[i] or kind == 'lineage' then lost[#lost + 1] = i end
end
if has_more == 1 then
  for _, source in ipairs(heap) do
    next_seqs[#next_seqs + 1] = source.i
    next_seqs[#next_seqs + 1] = digits(source.next)
  end
end
return { 'ok', state.epoch, digits(up_to), has_more, lost, events, next_seqs }
