-- Moves due retries to the tail of their queues, bytes kept, oldest due first.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     most to move (at most 100)
-- Returns  {number moved, queue, …}: how many, and the queues they went to
-- @include base
-- @include ring
-- @include append

local due = call('ZRANGEBYSCORE', e .. 'retry', '-inf', int(now), 'LIMIT', 0, tonumber(ARGV[1]))
local moved, queues, seen = 0, {}, {}
for i = 1, #due do
  local member = due[i]
  local length, skip, at = string.match(member, '^%S+ %d+ (%d+) (%d+) ()')
  local queue, raw
  if length then
    queue = string.sub(member, at, at + tonumber(length) - 1)
    raw = string.sub(member, at + tonumber(length) + tonumber(skip))
  else
    queue, raw = '', member
  end
  if (length and append(p .. 'queue:' .. queue, raw)) or quarantine(queue, raw) then
    call('ZREM', e .. 'retry', member)
    moved = moved + 1
    if length then
      pcall_('SADD', p .. 'queues', queue)
      if not seen[queue] then
        seen[queue] = true
        queues[#queues + 1] = queue
        ring(queue)
      end
    end
  end
end
return { moved, unpack(queues) }
