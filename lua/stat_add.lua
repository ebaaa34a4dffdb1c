-- Adds to a statistic.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, name, amount
-- Returns  the new value, as text
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include numbered

local value = call('INCRBY', p .. 'stat:' .. ARGV[3], ARGV[4])
return answer(string.format('%.0f', value))
