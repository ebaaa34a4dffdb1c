-- Reads for which a key of an unexpected type counts as empty.
local function number(command, key)
  local n = pcall_(command, key)
  return type(n) == 'number' and n or 0
end

local function text(key)
  local value = pcall_('GET', key)
  return type(value) == 'string' and value or ''
end
