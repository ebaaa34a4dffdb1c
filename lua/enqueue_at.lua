-- Files delayed jobs as the family does: in the list of their second, that second in the schedule, and under their own
-- bytes in the set by which resque-scheduler and node-resque find them again. All or nothing, as in enqueue.lua.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, number of the call that it follows or "", number of items, number of tracked
--          jobs;
--          then second and item of each; then the status names of tracked jobs
-- Returns  "" (also where the call had run before), "early" as enqueue.lua
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include numbered
-- @include follows

local n, n_tracked = tonumber(ARGV[4]), tonumber(ARGV[5])
local last = 5 + 2 * n
local schedule = p .. 'delayed_queue_schedule'
call('ZCARD', schedule)
for i = 6, last, 2 do
  call('LLEN', p .. 'delayed:' .. ARGV[i])
  call('SCARD', p .. 'timestamps:' .. ARGV[i + 1])
end

for i = 6, last, 2 do
  local ts, item = ARGV[i], ARGV[i + 1]
  call('SADD', p .. 'timestamps:' .. item, 'delayed:' .. ts)
  call('ZADD', schedule, ts, ts)
  call('RPUSH', p .. 'delayed:' .. ts, item)
end
local at = last + 1
-- @include tracked
return answer()
