-- Pushes payloads to the tails of their queues. Everything that can fail comes before the first push, and Redis refuses
-- the first write when it is full: either all is enqueued or nothing. What comes behind the pushes must not fail the
-- call: its caller would enqueue once more.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, number of the call that it follows or "", number of queues, number of tracked
--          jobs;
--          then for each queue its name, number of payloads, payloads;
--          then the status names (`<id>` or `<prefix>_<id>`) of tracked jobs
-- Returns  "" (also where the call had run before), "early" where the call that it follows has not run: nothing was
--          done
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include numbered
-- @include follows

local n_queues, n_tracked = tonumber(ARGV[4]), tonumber(ARGV[5])
local at, plan = 6, {}
for i = 1, n_queues do
  local queue, n = ARGV[at], tonumber(ARGV[at + 1])
  local list, token = p .. 'queue:' .. queue, e .. 'token:' .. queue
  local is_new = call('SISMEMBER', p .. 'queues', queue) == 0
  if n_queues > 1 or is_new then
    call('LLEN', list)
  end
  -- A token key of another type is left alone: polling finds the work.
  plan[i] = { list, at + 2, at + 1 + n, queue, is_new, redis.pcall('LLEN', token) == 0 and token }
  at = at + 2 + n
end

for i = 1, n_queues do
  local one = plan[i]
  if one[5] then call('SADD', p .. 'queues', one[4]) end
end
for i = 1, n_queues do
  local one = plan[i]
  call('RPUSH', one[1], unpack(ARGV, one[2], one[3]))
end
for i = 1, n_queues do
  local one = plan[i]
  if one[6] then redis.pcall('RPUSH', one[6], '1') end
end
-- @include tracked
return answer()
