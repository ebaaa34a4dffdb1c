-- Moves quarantined elements, byte for byte, to the tails of the queues they came from.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, index of the first, places looked at (at most 1000);
--          then place (0 is the first) and SHA-1 of each entry
-- Returns  "<moved> <not there any more>"
-- @include base
-- @include numbered
-- @include window
-- @include ring
-- @include requeue

local list, start = e .. 'quarantine', tonumber(ARGV[3])
local there = window(list, start, tonumber(ARGV[4]))
for i = 5, #ARGV, 2 do
  local entry = there[ARGV[i] + 1]
  local length, at
  if entry and redis.sha1hex(entry) == ARGV[i + 1] then
    length, at = string.match(entry, '^%d+ (%d+) ()')
    length = tonumber(length)
  end
  -- Without a queue there is nowhere to release it to.
  if length and length > 0 then
    choose(start + ARGV[i], string.sub(entry, at, at + length - 1), string.sub(entry, at + length))
  else
    missing = missing + 1
  end
end
return answer(requeue(list))
