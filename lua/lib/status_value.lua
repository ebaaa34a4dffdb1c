-- php-resque's status of a tracked job: 1 waiting, 2 running, 3 failed, 4 complete.
local function status_value(code, old, result)
  local started = string.match(old or '', '"started":(%d+)') or clock[1]
  return '{"status":' .. code .. ',"updated":' .. clock[1] .. ',"started":' .. started .. ',"result":' .. result .. '}'
end
