-- Removes delayed jobs of one second, named by place and SHA-1, from its list and from the sets by which the family
-- finds them; the second goes when nothing is left of it, and statuses expire.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, second, "1" where jobs equal to these may be meant to stay: the family must go on
--          finding them, and each of these costs a walk through the second's list;
--          index of the first, places looked at (at most 500, and no more than some millions of bytes in them and of
--          elements to walk over), then place (0 is the first) and SHA-1 of each
-- Returns  "<removed> <not there any more>"
-- @include base
-- @include numbered
-- @include json
-- @include status
-- @include window

local ts, some_stay, start = ARGV[3], ARGV[4] == '1', tonumber(ARGV[5])
local list, schedule = p .. 'delayed:' .. ts, p .. 'delayed_queue_schedule'
local there, indexes, items, missing = window(list, start, tonumber(ARGV[6])), {}, {}, 0
call('ZSCORE', schedule, ts)
for i = 7, #ARGV, 2 do
  local item = there[ARGV[i] + 1]
  if item and redis.sha1hex(item) == ARGV[i + 1] then
    call('SCARD', p .. 'timestamps:' .. item)
    indexes[#indexes + 1], items[#items + 1] = start + ARGV[i], item
  else
    missing = missing + 1
  end
end
also_when_full()
remove_at(list, indexes)
for i = 1, #items do
  expire_status(items[i])
  if not some_stay or not call('LPOS', list, items[i]) then
    call('SREM', p .. 'timestamps:' .. items[i], 'delayed:' .. ts)
  end
end
if call('EXISTS', list) == 0 then
  call('ZREM', schedule, ts)
end
return answer(#indexes .. ' ' .. missing)
