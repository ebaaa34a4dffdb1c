-- Appends to a list; returns false where the key holds another type.
local function append(list, value)
  return type(pcall_('RPUSH', list, value)) == 'number'
end

-- Writes the record of a failure to the lists that a worker keeps: "r" the common one, "m" one per queue, "rm" both.
-- The common one takes what the other cannot.
local function append_failure(lists, queue, entry)
  local recorded = false
  if lists == 'm' or lists == 'rm' then
    recorded = append(p .. queue .. '_failed', entry)
    if recorded then pcall_('SADD', p .. 'failed_queues', queue .. '_failed') end
  end
  if lists ~= 'm' or not recorded then
    recorded = append(p .. 'failed', entry) or recorded
  end
  return recorded
end

local function quarantine(queue, raw)
  return append(e .. 'quarantine', int(now) .. ' ' .. #queue .. ' ' .. queue .. raw)
end
