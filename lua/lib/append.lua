-- Appends to a list; returns false where the key holds another type.
local function append(list, value)
  return type(pcall_('RPUSH', list, value)) == 'number'
end

local function quarantine(queue, raw)
  return append(e .. 'quarantine', int(now) .. ' ' .. #queue .. ' ' .. queue .. raw)
end
