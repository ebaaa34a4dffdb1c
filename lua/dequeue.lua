-- Removes elements of a queue that are equal to one of those named, among the places looked at. The rest keeps its
-- order, and statuses of what was removed expire.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, queue, first and last place looked at (counted from the tail: -1 is the last
--          element; at most 1000, and no more than some megabytes of them: each is hashed), then the elements' SHA-1
-- Returns  how many were removed, as text
-- @include base
-- @include numbered
-- @include json
-- @include status
-- @include window

local list, first, last = p .. 'queue:' .. ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local wanted, indexes = {}, {}
for i = 6, #ARGV do
  wanted[ARGV[i]] = true
end
local length = call('LLEN', list)
if length + first < 0 then
  first = -length
end
local there = call('LRANGE', list, first, last)
for i = 1, #there do
  if wanted[redis.sha1hex(there[i])] then
    indexes[#indexes + 1] = first + i - 1
  end
end
also_when_full()
remove_at(list, indexes)
for i = 1, #indexes do
  expire_status(there[indexes[i] - first + 1])
end
return answer(tostring(#indexes))
