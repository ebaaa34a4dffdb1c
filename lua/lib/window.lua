-- Entries of a list, named by index and SHA-1: an entry that moved or changed since it was looked at is not touched.
local GONE = '\0resqueue: removed'

-- Returns the entries from `start` for `n` places; raises an error where the key is no list.
local function window(list, start, n)
  return call('LRANGE', list, start, start + n - 1)
end

-- Removes the entries at these indexes, all below 0 (counted from the tail) or none, in one walk from the nearer end.
-- Their neighbours keep their order.
local function remove_at(list, indexes)
  local n = #indexes
  if n == 0 then
    return
  end
  local length, last = call('LLEN', list), indexes[n]
  if last < 0 then
    last = length + last
  end
  for i = 1, n do
    call('LSET', list, indexes[i], GONE)
  end
  call('LREM', list, last < length / 2 and n or -n, GONE)
end
