-- Registers a worker process and its lease together, with a display registration per slot for the family's dashboards.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     nonce, lease ms, layout version, registration JSON, instance name or "", then the worker ids
-- Returns  {"ok", ms}
--          {"gone", ms} where the process was released before
--          {"newer", ms, version} where a newer ResQueue wrote this namespace
-- @include base

local nonce, lease_ms, layout, registration, instance = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local version = call('HGET', e .. 'meta', 'version')
if version and tonumber(version) > layout then
  return { 'newer', int(now), version }
end
if call('EXISTS', e .. 'gone:' .. nonce) == 1 then
  return { 'gone', int(now) }
end

-- First of all a write that Redis lets through when it is full, and then those that follow: workers are what makes
-- room.
call('PEXPIRE', e .. 'lease:' .. nonce, lease_ms)
-- What reapers go by comes before the rest: a process that could take jobs without being listed would never be reaped.
call('SET', e .. 'lease:' .. nonce, '1', 'PX', lease_ms)
call('HSET', e .. 'processes', nonce, registration)
if not version then
  call('HSET', e .. 'meta', 'version', ARGV[3])
end
if instance ~= '' then
  call('HSET', e .. 'instances', instance, nonce)
end
call('HSET', e .. 'inflight:' .. nonce, 'registered', '1')
call('HSETNX', e .. 'inflight:' .. nonce, 'k', '0')
for i = 6, #ARGV do
  pcall_('SADD', p .. 'workers', ARGV[i])
  call('SET', p .. 'worker:' .. ARGV[i] .. ':started', iso(now))
  pcall_('HSET', p .. 'workers:heartbeat', ARGV[i], iso(now))
end
return { 'ok', int(now) }
