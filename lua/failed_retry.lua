-- Moves the payloads of failed entries, byte for byte, to the tails of their queues and removes the entries. A tracked
-- job's status becomes *waiting* again.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, list (without the namespace), index of the first, places looked at (at most
--          1000);
--          then for each entry: place (0 is the first), SHA-1, queue, first and last byte of the payload in it (1 is
--          the first), status name or ""
-- Returns  "<moved> <not there any more>"
-- @include base
-- @include numbered
-- @include window
-- @include ring
-- @include status
-- @include requeue

local list, start = p .. ARGV[3], tonumber(ARGV[4])
local there, statuses = window(list, start, tonumber(ARGV[5])), {}
for i = 6, #ARGV, 6 do
  local entry = there[ARGV[i] + 1]
  if entry and redis.sha1hex(entry) == ARGV[i + 1] then
    choose(start + ARGV[i], ARGV[i + 2], string.sub(entry, tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])))
    if ARGV[i + 5] ~= '' then
      local key = p .. 'job:' .. ARGV[i + 5] .. ':status'
      local old = pcall_('GET', key)
      if type(old) == 'string' then statuses[#statuses + 1] = { key, old } end
    end
  else
    missing = missing + 1
  end
end

local moved = requeue(list)
for i = 1, #statuses do
  write_status(statuses[i][1], statuses[i][2], 1, 'null')
end
return answer(moved)
