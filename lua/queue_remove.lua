-- Removes a queue: its jobs, its name, and what is kept beside it (token, flow, pause).
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, queue, "jobs" to remove the jobs only or "all"
-- Returns  how many jobs it had, as text
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include numbered
-- @include paused

local queue = ARGV[3]
local n = call('LLEN', p .. 'queue:' .. queue)
local paused = read_paused()
call('SISMEMBER', p .. 'queues', queue)
also_when_full()
call('UNLINK', p .. 'queue:' .. queue, e .. 'token:' .. queue)
if ARGV[4] == 'all' then
  call('SREM', p .. 'queues', queue)
  call('UNLINK', e .. 'flow:' .. queue)
  write_paused(paused, queue, false)
end
return answer(tostring(n))
