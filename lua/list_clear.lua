-- Empties a failed list or the quarantine.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, list (without the namespace)
-- Returns  how many entries it had, as text
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include numbered

local list = p .. ARGV[3]
local n = call('LLEN', list)
also_when_full()
call('UNLINK', list)
return answer(tostring(n))
