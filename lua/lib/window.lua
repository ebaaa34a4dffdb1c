-- Entries of a list, named by index and SHA-1: an entry that moved or changed since it was looked at is not touched.
local GONE = '\0resqueue: removed'

-- Returns the entries from `start` for `n` places; raises an error where the key is no list.
local function window(list, start, n)
  return call('LRANGE', list, start, start + n - 1)
end

-- Removes the entries at these indexes in one pass. Their neighbours keep their order.
local function remove_at(list, indexes)
  for i = 1, #indexes do
    call('LSET', list, indexes[i], GONE)
  end
  if #indexes > 0 then
    call('LREM', list, #indexes, GONE)
  end
end
