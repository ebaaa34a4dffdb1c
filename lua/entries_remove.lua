-- Removes entries of a failed list or of the quarantine.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, list (without the namespace), index of the first, places looked at (at most
--          1000);
--          then place (0 is the first) and SHA-1 of each entry
-- Returns  "<removed> <not there any more>"
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include numbered
-- @include window

local list, start = p .. ARGV[3], tonumber(ARGV[4])
local there, indexes, missing = window(list, start, tonumber(ARGV[5])), {}, 0
for i = 6, #ARGV, 2 do
  local entry = there[ARGV[i] + 1]
  if entry and redis.sha1hex(entry) == ARGV[i + 1] then
    indexes[#indexes + 1] = start + ARGV[i]
  else
    missing = missing + 1
  end
end
also_when_full()
remove_at(list, indexes)
return answer(#indexes .. ' ' .. missing)
