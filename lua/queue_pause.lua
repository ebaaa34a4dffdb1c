-- Pauses or resumes a queue. Resuming wakes a worker for what waits in it.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     queue, "pause" or "resume"
-- Returns  1 where that was a change, else 0
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include paused
-- @include ring

local queue, wanted = ARGV[1], ARGV[2] == 'pause'
local waiting = call('LLEN', p .. 'queue:' .. queue)
local changed = write_paused(read_paused(), queue, wanted)
if not wanted and waiting > 0 then
  ring(queue)
end
return changed and 1 or 0
