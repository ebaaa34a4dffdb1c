-- Puts something into a key; returns false where that holds another type. What else Redis refuses is raised: it says
-- nothing of the key.
local function put(command, key, ...)
  local reply = pcall_(command, key, ...)
  if type(reply) == 'number' then return true end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then call(command, key, ...) end
  return false
end

local function append(list, value)
  return put('RPUSH', list, value)
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
