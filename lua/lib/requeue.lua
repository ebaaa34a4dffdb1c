-- Moves elements of a list, byte for byte, to the tails of their queues. `choose` does all that can go wrong, so that
-- `requeue` only writes.
local indexes, pushes, queues, unlisted, missing = {}, {}, {}, {}, 0

local function choose(index, queue, raw)
  if unlisted[queue] == nil then
    call('LLEN', p .. 'queue:' .. queue)
    unlisted[queue] = call('SISMEMBER', p .. 'queues', queue) == 0
    queues[#queues + 1] = queue
  end
  indexes[#indexes + 1] = index
  pushes[#pushes + 1] = { p .. 'queue:' .. queue, raw }
end

-- Returns "<moved> <not there any more>".
local function requeue(list)
  also_when_full()
  for i = 1, #pushes do
    call('RPUSH', pushes[i][1], pushes[i][2])
  end
  remove_at(list, indexes)
  for i = 1, #queues do
    if unlisted[queues[i]] then call('SADD', p .. 'queues', queues[i]) end
    ring(queues[i])
  end
  return #indexes .. ' ' .. missing
end
