-- Removes a queue: its jobs, its name, and what is kept beside it (token, flow, pause). The jobs are put aside for a
-- while, for removed_statuses.lua.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, queue, "jobs" to remove the jobs only or "all", name under which they are put
--          aside
-- Returns  how many jobs it had, as text
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include numbered
-- @include paused

local queue, aside = ARGV[3], e .. 'removed:' .. ARGV[5]
local n = call('LLEN', p .. 'queue:' .. queue)
local paused = read_paused()
call('SISMEMBER', p .. 'queues', queue)
also_when_full()
if n > 0 then
  call('RENAME', p .. 'queue:' .. queue, aside)
  call('PEXPIRE', aside, 600000)
end
call('UNLINK', e .. 'token:' .. queue)
if ARGV[4] == 'all' then
  call('SREM', p .. 'queues', queue)
  call('UNLINK', e .. 'flow:' .. queue)
  write_paused(paused, queue, false)
end
return answer(tostring(n))
