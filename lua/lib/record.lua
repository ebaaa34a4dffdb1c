-- In-flight records: `<k> <ms> <queue bytes> <queue><raw payload>`.
-- Returns k, ms, queue, and where the raw payload begins; nothing for what is no such record.
local function decode_record(record)
  local k, ms, length, at = string.match(record, '^(%d+) (%d+) (%d+) ()')
  if not k then return end
  length = tonumber(length)
  return tonumber(k), tonumber(ms), string.sub(record, at, at + length - 1), at + length
end
