-- Removes delayed jobs of one second by their exact bytes, from its list and from the sets by which the family finds them;
-- the second goes when nothing is left of it.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, second, then the items (at most 500)
-- Returns  how many were removed, as text
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include numbered

local ts = ARGV[3]
local list, schedule = p .. 'delayed:' .. ts, p .. 'delayed_queue_schedule'
call('LLEN', list)
call('ZSCORE', schedule, ts)
for i = 4, #ARGV do
  call('SCARD', p .. 'timestamps:' .. ARGV[i])
end
also_when_full()
local n = 0
for i = 4, #ARGV do
  n = n + call('LREM', list, 0, ARGV[i])
  call('SREM', p .. 'timestamps:' .. ARGV[i], 'delayed:' .. ts)
end
if call('EXISTS', list) == 0 then
  call('ZREM', schedule, ts)
end
return answer(tostring(n))
