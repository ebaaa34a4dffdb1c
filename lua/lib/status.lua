-- @include status_value

local STATUS_TTL = 86400

-- Writes a status where the job is tracked; terminal ones expire after a day. A refusal is no reason to stop between
-- what was done with the job and what is to be done.
local function write_status(key, old, code, result)
  if code >= 3 then
    redis.pcall('SET', key, status_value(code, old, result), 'EX', STATUS_TTL)
  else
    redis.pcall('SET', key, status_value(code, old, result))
  end
end

-- Whether a JSON text closes nothing from `at` on but the object or list that it is itself.
local function is_outermost(text, at)
  local depth = 0
  at = string.find(text, '["%[%]{}]', at)
  while at do
    local c = string.byte(text, at)
    if c == 34 then
      repeat
        at = string.find(text, '["\\]', at + 1)
        local escaped = at and string.byte(text, at) == 92
        if escaped then at = at + 1 end
      until not escaped
      if not at then return false end
    elseif c == 91 or c == 123 then
      depth = depth + 1
    elseif depth == 0 then
      return at == #text
    else
      depth = depth - 1
    end
    at = string.find(text, '["%[%]{}]', at + 1)
  end
  return false
end

-- Id and prefix near the end of a payload that cjson cannot read, where the family writes them; nil where they may be
-- others' or are written with escapes. An `"id"` of an argument is followed by the end of the arguments.
local function id_at_end(raw)
  local tail, id, behind = string.sub(raw, -600), nil, nil
  for found, at in string.gmatch(tail, ',"id":"([^"\\]+)"()') do
    if is_outermost(tail, at) then id, behind = found, at end
  end
  local prefix = id and string.match(tail, '^,"prefix":"([^"\\]*)"', behind)
  if not prefix and string.find(raw, '"prefix"', 1, true) then return nil end
  return id, prefix
end

-- An id or a prefix as it stands in a key: php-resque's may be numbers.
local function key_part(value)
  if type(value) == 'number' then
    return string.format(value % 1 == 0 and '%.0f' or '%.14g', value)
  end
  return type(value) == 'string' and value or ''
end

-- The status key that a payload names, whether or not the job is tracked; nil without an id.
local function status_key(raw)
  local payload, deep = decode(raw)
  local id, prefix
  if payload then
    id, prefix = payload.id, payload.prefix
  elseif deep then
    id, prefix = id_at_end(raw)
  end
  id, prefix = key_part(id), prefix ~= 0 and key_part(prefix) or ''
  if id == '' then
    return nil
  end
  return p .. 'job:' .. (prefix ~= '' and prefix .. '_' or '') .. id .. ':status'
end

-- The status of a removed job, if it is tracked, goes when that of one that has ended would.
local function expire_status(raw)
  local key = status_key(raw)
  if key then call('PEXPIRE', key, STATUS_TTL * 1000) end
end
