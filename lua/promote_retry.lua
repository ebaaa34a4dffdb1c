-- Moves due retries to the tail of their queues, bytes kept, oldest due first. What each counts of attempts goes along:
-- a retry may have waited for longer than they are kept beside it.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     most to move (at most 100), bytes after which no more are moved
-- Returns  {number moved, 1 where more may be due, how many of those moved went to quarantine}
-- @include base
-- @include ring
-- @include append
-- @include attempts

local retry, most, budget = e .. 'retry', tonumber(ARGV[1]), tonumber(ARGV[2])
local moved, quarantined, stuck, step, rung = 0, 0, 0, 1, {}
-- Ever more at a time, so that neither many small ones nor few large ones take long.
while moved < most and budget > 0 do
  local due = call('ZRANGEBYSCORE', retry, '-inf', int(now), 'LIMIT', stuck, math.min(step, most - moved))
  if #due == 0 then
    return { moved, 0, quarantined }
  end
  -- First of all a write that Redis lets through when it is full. Who may not do it would move the same jobs again and
  -- again.
  call('ZREM', retry, '')
  for i = 1, #due do
    local member = due[i]
    local attempt, length, skip, at = string.match(member, '^%S+ (%d+) (%d+) (%d+) ()')
    local queue, raw
    if length then
      queue = string.sub(member, at, at + tonumber(length) - 1)
      raw = string.sub(member, at + tonumber(length) + tonumber(skip))
    else
      queue, raw = '', member
    end
    if length then
      local key = job_key(queue, raw)
      local attempts, recoveries, last = read_attempts(key) -- equal payloads share it
      write_attempts(key, math.max(attempts, tonumber(attempt)), recoveries, last)
    end
    local appended = length and append(p .. 'queue:' .. queue, raw)
    if appended or quarantine(queue, raw) then
      if not appended then quarantined = quarantined + 1 end
      call('ZREM', retry, member)
      moved = moved + 1
      if appended then
        pcall_('SADD', p .. 'queues', queue)
        if not rung[queue] then
          rung[queue] = true
          ring(queue)
        end
      end
    else
      stuck = stuck + 1
    end
    budget = budget - #member
  end
  step = step * 2
end
-- Those that no key takes are no reason to go on at once.
return { moved, moved > 0 and 1 or 0, quarantined }
