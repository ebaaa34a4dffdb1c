-- Names and time. KEYS[1] is `<namespace>ext:`; every other key is built from the prefix in front of it and so shares
-- its slot in a cluster.
local p = string.sub(KEYS[1], 1, -5)
local e = KEYS[1]
local call, pcall_ = redis.call, redis.pcall
local clock = call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

-- Integers as text: Lua's own conversion would write 1.79e+12 for larger ones, and takes several times as long for all.
local function int(n)
  return string.format('%d', n)
end

-- Text as JSON.stringify writes it: cjson would write `/` as `\/`, and failure records must be canonical.
local function quote(text)
  return (string.gsub(cjson.encode(text), '\\/', '/'))
end

-- Calendar date of a time in ms, UTC (days to civil, after Howard Hinnant). Redis' sandbox has no os.date.
local function civil(ms)
  local seconds = (ms - ms % 1000) / 1000
  local rest = seconds % 86400
  local z = (seconds - rest) / 86400 + 719468
  local doe = z % 146097
  local yoe = doe - (doe - doe % 1460) / 1460 + (doe - doe % 36524) / 36524 - (doe - doe % 146096) / 146096
  yoe = (yoe - yoe % 365) / 365
  local doy = doe - (365 * yoe + (yoe - yoe % 4) / 4 - (yoe - yoe % 100) / 100)
  local mp = (5 * doy + 2 - (5 * doy + 2) % 153) / 153
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + (z - doe) / 146097 * 400 + (month <= 2 and 1 or 0)
  local day = 153 * mp + 2
  local second = rest % 60
  local minute = (rest - second) / 60 % 60
  return year, month, doy - (day - day % 5) / 5 + 1, (rest - rest % 3600) / 3600, minute, second
end

local function iso(ms)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02dZ', civil(ms))
end
