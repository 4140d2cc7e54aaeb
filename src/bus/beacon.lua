-- Announces the current position. Replicas notice by it that they missed the newest events, and its sender hears that the channel works.
-- Comes after counter.lua.
--
-- ARGV[2]  channel    ARGV[3]  the sender's mark
--
-- Returns { life, epoch, seq, now in ms since 1970 }. Announces:  B \n epoch \n seq \n mark

local state = read_state()
redis.call('PUBLISH', ARGV[2], 'B\n' .. state.epoch .. '\n' .. digits(state.seq) .. '\n' .. ARGV[3])
local time = redis.call('TIME')
return { state.life, state.epoch, digits(state.seq), digits(tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)) }
