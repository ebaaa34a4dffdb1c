-- Removes delayed jobs of one second by their exact bytes, from its list and from the sets by which the family finds
-- them; the second goes when nothing is left of it, and statuses expire.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, second, then of each item how many that are equal, and the item. Each costs a
--          walk through the second's list, so at most 500, and no more than some millions of elements to walk over and
--          bytes of items in all
-- Returns  how many were removed, as text
-- @include base
-- @include numbered
-- @include json
-- @include status

local ts = ARGV[3]
local list, schedule = p .. 'delayed:' .. ts, p .. 'delayed_queue_schedule'
call('LLEN', list)
call('ZSCORE', schedule, ts)
for i = 5, #ARGV, 2 do
  call('SCARD', p .. 'timestamps:' .. ARGV[i])
end
also_when_full()
local n = 0
for i = 5, #ARGV, 2 do
  local removed = call('LREM', list, ARGV[i - 1], ARGV[i])
  n = n + removed
  if removed > 0 then expire_status(ARGV[i]) end
  -- While an equal one is left, the family must find it.
  if not call('LPOS', list, ARGV[i]) then
    call('SREM', p .. 'timestamps:' .. ARGV[i], 'delayed:' .. ts)
  end
end
if call('EXISTS', list) == 0 then
  call('ZREM', schedule, ts)
end
return answer(tostring(n))
