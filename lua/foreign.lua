-- What workers of other programs do now. Only reads; no payload leaves Redis.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     worker ids, at most 1000
-- Returns  {ms, then for each: 1 where it runs a job, else 0; the first 256 bytes of its record; its stat:processed or
--          ""}
-- @include base

local reply = { int(now) }
for i = 1, #ARGV do
  local record, processed = pcall_('GET', p .. 'worker:' .. ARGV[i]), pcall_('GET', p .. 'stat:processed:' .. ARGV[i])
  record = type(record) == 'string' and record or ''
  reply[#reply + 1] = string.find(record, '"payload"', 1, true) and 1 or 0
  reply[#reply + 1] = string.sub(record, 1, 256)
  reply[#reply + 1] = type(processed) == 'string' and processed or ''
end
return reply
