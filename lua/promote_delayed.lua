-- Moves due items of the family's delayed lists to their queues, as they are, the oldest timestamp first and first in first
-- out within one. Does nothing while resque-scheduler or node-resque holds its leader lock: then the delayed jobs are left
-- to it. Locks are only looked at, never taken: a script cannot be interleaved with a foreign pass.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     most to move (at most 100)
-- Returns  {"locked", key of the lock} | {"moved", 1 where more may be due, queue, raw, …}
-- @include base
-- @include ring
-- @include json
-- @include append

local most = tonumber(ARGV[1])
for _, lock in ipairs({ p .. p .. 'resque_scheduler_master_lock', p .. 'resque_scheduler_leader_lock' }) do
  if call('EXISTS', lock) == 1 then
    return { 'locked', lock }
  end
end
local schedule = p .. 'delayed_queue_schedule'
local reply, moved, rung = { 'moved', 0 }, 0, {}
local due = call('ZRANGEBYSCORE', schedule, '-inf', clock[1], 'LIMIT', 0, 10)
for _, ts in ipairs(due) do
  local list = p .. 'delayed:' .. ts
  local items = pcall_('LRANGE', list, 0, most - moved - 1)
  -- A list of another type is nobody's delayed job: its timestamp is dropped from the schedule, the key left as it is.
  local n = items.err and 0 or #items
  for i = 1, n do
    local raw = items[i]
    local item = decode(raw)
    local queue = item and type(item.queue) == 'string' and item.queue ~= '' and type(item.class) == 'string' and item.queue
    local done = (queue and append(p .. 'queue:' .. queue, raw)) or quarantine(queue or '', raw)
    if not done then
      return reply
    end
    call('LPOP', list)
    pcall_('SREM', p .. 'timestamps:' .. raw, 'delayed:' .. ts)
    moved = moved + 1
    if queue then
      pcall_('SADD', p .. 'queues', queue)
      if not rung[queue] then
        rung[queue] = true
        ring(queue)
      end
      reply[#reply + 1] = queue
      reply[#reply + 1] = raw
    end
  end
  if items.err or call('EXISTS', list) == 0 then
    call('ZREM', schedule, ts)
  end
  if moved >= most then break end
end
-- Whoever got here has got on: every second looked at has lost its items or its place in the schedule.
if moved >= most or #due == 10 then reply[2] = 1 end
return reply
