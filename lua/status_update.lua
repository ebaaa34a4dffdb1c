-- Sets the status of a tracked job; `started` stays as it was.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     status name (`<id>` or `<prefix>_<id>`), code 1–4, result as JSON, "create" to begin tracking,
--          "waiting" to do it only while the job waits, or ""
-- Returns  1, or 0 where the job is not tracked or does not wait
-- @include base
-- @include status

local key = p .. 'job:' .. ARGV[1] .. ':status'
local old = call('GET', key)
if not old and ARGV[4] ~= 'create' then
  return 0
end
if ARGV[4] == 'waiting' and not string.find(old, '"status"%s*:%s*1%D') then
  return 0
end
write_status(key, ARGV[4] ~= 'create' and old or nil, tonumber(ARGV[2]), ARGV[3])
return 1
