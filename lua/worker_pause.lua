-- Pauses or resumes one worker process: while paused it takes no job; those it runs go on.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     nonce, "pause" or "resume"
-- Returns  1 where that was a change, 0 where it was so, -1 where no such process is registered
local e, call = KEYS[1], redis.call

local inflight = e .. 'inflight:' .. ARGV[1]
if call('HEXISTS', inflight, 'registered') == 0 then
  return -1
end
if ARGV[2] == 'pause' then
  return call('HSET', inflight, 'paused', '1')
end
return call('HDEL', inflight, 'paused')
