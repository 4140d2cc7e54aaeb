-- Announces the current position, so that a lost last event shows; and proves to its sender that the channel works.
--
-- ARGV[2]  channel    ARGV[3]  the sender's mark
--
-- Returns { life, epoch, seq }. Announces:  B \n epoch \n seq \n mark

local state = read_state()
redis.call('PUBLISH', ARGV[2], 'B\n' .. state.epoch .. '\n' .. digits(state.seq) .. '\n' .. ARGV[3])
return { state.life, state.epoch, digits(state.seq) }
