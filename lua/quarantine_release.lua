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

local list, start = e .. 'quarantine', tonumber(ARGV[3])
local there, indexes, missing = window(list, start, tonumber(ARGV[4])), {}, 0
local pushes, queues, names = {}, {}, {}
for i = 5, #ARGV, 2 do
  local entry = there[ARGV[i] + 1]
  local length, at
  if entry and redis.sha1hex(entry) == ARGV[i + 1] then
    length, at = string.match(entry, '^%d+ (%d+) ()')
    length = tonumber(length)
  end
  -- Without a queue there is nowhere to release it to.
  if length and length > 0 then
    local queue = string.sub(entry, at, at + length - 1)
    if not queues[queue] then
      call('LLEN', p .. 'queue:' .. queue)
      queues[queue] = call('SISMEMBER', p .. 'queues', queue)
      names[#names + 1] = queue
    end
    indexes[#indexes + 1] = start + ARGV[i]
    pushes[#pushes + 1] = { queue, string.sub(entry, at + length) }
  else
    missing = missing + 1
  end
end

also_when_full()
for i = 1, #pushes do
  call('RPUSH', p .. 'queue:' .. pushes[i][1], pushes[i][2])
end
remove_at(list, indexes)
for i = 1, #names do
  if queues[names[i]] == 0 then call('SADD', p .. 'queues', names[i]) end
  ring(names[i])
end
return answer(#indexes .. ' ' .. missing)
