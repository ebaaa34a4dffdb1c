-- Takes marks away, so that the pods' workers take jobs again, and wakes a worker for each queue that holds some.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     owner, "1" to take away the marks of other owners instead (their term is over), number of pods, the pods
--          (`<cluster namespace>/<uid>`), then the queues to ring, at most 1000 of each
-- Returns  how many marks were taken away
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include ring

local owner, others, pods, n = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), 0
for i = 4, 3 + pods do
  local key = e .. 'draining:' .. ARGV[i]
  local found = redis.pcall('GET', key)
  if type(found) == 'string' and (found == owner) ~= others then
    n = n + call('DEL', key)
  end
end
if n > 0 then
  for i = 4 + pods, #ARGV do
    local length = redis.pcall('LLEN', p .. 'queue:' .. ARGV[i])
    if type(length) == 'number' and length > 0 then ring(ARGV[i]) end
  end
end
return n
