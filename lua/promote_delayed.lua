-- Moves due items of the family's delayed lists to their queues, as they are, the oldest timestamp first and first in
-- first out within one. Does nothing while resque-scheduler or node-resque holds its leader lock: then the delayed jobs
-- are left to it. Locks are only looked at, never taken: a script cannot be interleaved with a foreign pass.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     most to move (at most 100), bytes after which no more are moved
-- Returns  {"locked", key of the lock}
--          | {"moved", 1 where more may be due, how many went to quarantine, then queue and payload of each other one}
-- @include base
-- @include ring
-- @include json
-- @include append

local most, budget = tonumber(ARGV[1]), tonumber(ARGV[2])
-- resque-scheduler puts its namespace in front of its lock's name, where redis-namespace puts it once more. Of nested
-- namespaces it knows the innermost only, and which part of ours that is cannot be told.
local locks, rest = { p .. 'resque_scheduler_leader_lock' }, p == '' and ':' or p
while rest do
  locks[#locks + 1] = p .. rest .. 'resque_scheduler_master_lock'
  rest = string.match(rest, '^[^:]*:(.+)$')
end
for _, lock in ipairs(locks) do
  if call('EXISTS', lock) == 1 then
    return { 'locked', lock }
  end
end
local schedule = p .. 'delayed_queue_schedule'
local reply, moved, rung = { 'moved', 0, 0 }, 0, {}

-- Moves one item. False where no key takes it.
local function move(list, ts, raw)
  local item = decode(raw)
  local queue = item and type(item.queue) == 'string' and item.queue ~= '' and type(item.class) == 'string' and item.queue
  local appended = queue and append(p .. 'queue:' .. queue, raw)
  if not appended then
    if not quarantine(queue or '', raw) then return false end
    reply[3] = reply[3] + 1
  end
  call('LPOP', list)
  pcall_('SREM', p .. 'timestamps:' .. raw, 'delayed:' .. ts)
  moved = moved + 1
  budget = budget - #raw
  if appended then
    pcall_('SADD', p .. 'queues', queue)
    if not rung[queue] then
      rung[queue] = true
      ring(queue)
    end
    reply[#reply + 1] = queue
    reply[#reply + 1] = raw
  end
  return true
end

local due = call('ZRANGEBYSCORE', schedule, '-inf', clock[1], 'LIMIT', 0, 10)
if #due > 0 then
  -- First of all a write that Redis lets through when it is full. Who may not pop would move the same jobs again and
  -- again.
  call('LPOP', KEYS[1])
end
for _, ts in ipairs(due) do
  local list, step, over = p .. 'delayed:' .. ts, 1, false
  -- Ever more at a time, so that neither many small ones nor few large ones take long.
  while moved < most and budget > 0 and not over do
    local items = pcall_('LRANGE', list, 0, math.min(step, most - moved) - 1)
    -- A list of another type is nobody's delayed job: its timestamp is dropped from the schedule, the key left as it
    -- is.
    over = items.err or #items == 0
    for i = 1, items.err and 0 or #items do
      if not move(list, ts, items[i]) then
        return reply
      end
    end
    step = step * 2
  end
  if over or call('EXISTS', list) == 0 then
    call('ZREM', schedule, ts)
  end
  if moved >= most or budget <= 0 then break end
end
-- Whoever got here has got on: every second looked at has lost its items or its place in the schedule.
if moved >= most or budget <= 0 or #due == 10 then reply[2] = 1 end
return reply
