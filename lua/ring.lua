-- Wakes a worker for each queue that holds jobs.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     queues, at most 1000
-- Returns  how many of them hold jobs
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include ring

local n = 0
for i = 1, #ARGV do
  local length = redis.pcall('LLEN', p .. 'queue:' .. ARGV[i])
  if type(length) == 'number' and length > 0 then
    n = n + 1
    ring(ARGV[i])
  end
end
return n
