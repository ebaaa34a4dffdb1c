-- Names and time. KEYS[1] is `<namespace>ext:`; every other key is built from the prefix in front of it and so shares its
-- slot in a cluster.
local p = string.sub(KEYS[1], 1, -5)
local e = KEYS[1]
local call, pcall_ = redis.call, redis.pcall
local clock = call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

-- Large integers as text: Lua's own conversion would write 1.79e+12.
local function int(n)
  return string.format('%.0f', n)
end

-- Text as JSON.stringify writes it: cjson would write `/` as `\/`, and failure records must be canonical.
local function quote(text)
  return (string.gsub(cjson.encode(text), '\\/', '/'))
end

-- Calendar date of a time in ms, UTC (days to civil, after Howard Hinnant). Redis' sandbox has no os.date.
local function civil(ms)
  local seconds = math.floor(ms / 1000)
  local days = math.floor(seconds / 86400)
  local rest = seconds - days * 86400
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return year, month, doy - math.floor((153 * mp + 2) / 5) + 1,
    math.floor(rest / 3600), math.floor(rest / 60) % 60, rest % 60
end

local function iso(ms)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02dZ', civil(ms))
end
