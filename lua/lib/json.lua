-- Looks into a payload without changing it. cjson refuses an escaped lone surrogate, which JSON.parse takes, so these
-- are blanked for a second look. Returns nil for what is no JSON object or list, and whether it is merely nested too
-- deeply for cjson, at 1000 levels.
local function decode(raw)
  local ok, value = pcall(cjson.decode, raw)
  if not ok then
    ok, value = pcall(cjson.decode, (string.gsub(raw, '\\u[dD][89a-fA-F]%x%x', '?')))
  end
  if ok and type(value) == 'table' then
    return value
  end
  return nil, not ok and string.find(value, 'too many nested', 1, true) ~= nil
end

-- Whether a payload can be a job: an object with a string `class`. The common head is enough here; JavaScript parses
-- what was taken and quarantines what it cannot.
local function is_job(raw)
  if string.byte(raw, -1) == 125 and string.sub(raw, 1, 10) == '{"class":"' then
    return true
  end
  local value = decode(raw)
  return value ~= nil and type(value.class) == 'string'
end
