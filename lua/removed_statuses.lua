-- Lets statuses of jobs expire that were removed with their queue, as many as one call may look at, and forgets these
-- jobs. Safe to send twice: it only goes on.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     name under which the jobs were put aside
-- Returns  how many are left
-- @include base
-- @include json
-- @include status

local list, seen, bytes, keys = e .. 'removed:' .. ARGV[1], 0, 0, {}
call('PEXPIRE', list, 600000)
while seen < 1000 and bytes < 1000000 do
  local some = call('LRANGE', list, seen, seen + 9)
  for i = 1, #some do
    keys[#keys + 1] = status_key(some[i])
    bytes = bytes + #some[i]
  end
  seen = seen + #some
  if #some < 10 then break end
end
-- Most jobs are not tracked.
if #keys > 0 and call('EXISTS', unpack(keys)) > 0 then
  for i = 1, #keys do call('PEXPIRE', keys[i], STATUS_TTL * 1000) end
end
call('LTRIM', list, seen, -1)
return call('LLEN', list)
