-- Marks pods: from this instant on their workers take no job. A mark that another owner set is left alone.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     owner, ms until a mark lapses by itself, then the pods, `<cluster namespace>/<uid>`, at most 1000
-- Returns  for each: 1 where it bears our mark now, else 0
local e, call = KEYS[1], redis.call

local reply = {}
for i = 3, #ARGV do
  local key = e .. 'draining:' .. ARGV[i]
  local owner = redis.pcall('GET', key)
  local ours = not owner or owner == ARGV[1]
  if ours then
    call('SET', key, ARGV[1], 'PX', ARGV[2])
  end
  reply[i - 2] = ours and 1 or 0
end
return reply
