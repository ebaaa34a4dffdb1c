-- php-resque's status of a tracked job: 1 waiting, 2 running, 3 failed, 4 complete.
local function status_value(code, old, result)
  local started = string.match(old or '', '"started":(%d+)') or clock[1]
  return '{"status":' .. code .. ',"updated":' .. clock[1] .. ',"started":' .. started .. ',"result":' .. result .. '}'
end

local STATUS_TTL = 86400

-- Writes a status where the job is tracked; terminal ones expire after a day.
local function write_status(key, old, code, result)
  if code >= 3 then
    call('SET', key, status_value(code, old, result), 'EX', STATUS_TTL)
  else
    call('SET', key, status_value(code, old, result))
  end
end

-- The status key that a payload names, whether or not the job is tracked; nil without an id.
local function status_key(raw)
  local payload = decode(raw)
  if not payload or type(payload.id) ~= 'string' then
    return nil
  end
  local prefix = type(payload.prefix) == 'string' and payload.prefix ~= '' and payload.prefix .. '_' or ''
  return p .. 'job:' .. prefix .. payload.id .. ':status'
end

-- The status of a removed job, if it is tracked, goes when that of one that has ended would.
local function expire_status(raw)
  local key = status_key(raw)
  if key then call('PEXPIRE', key, STATUS_TTL * 1000) end
end
