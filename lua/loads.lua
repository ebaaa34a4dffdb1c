-- How many jobs registered processes hold, a page at a time. Only reads; no payload leaves Redis.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     cursor, registrations a page, largest in-flight hash that is read (bytes)
-- Returns  {ms, next cursor, nonce, jobs held, ms left of its lease or negative, {queue, ms since when it is held, …},
--          …};
--          the list is empty where a process holds nothing or too much to be read
-- @include base
-- @include record

local page = pcall_('HSCAN', e .. 'processes', ARGV[1], 'COUNT', ARGV[2])
if page.err then
  return { int(now), '0' }
end
local reply, n, most = { int(now), page[1] }, 2, tonumber(ARGV[3])
for i = 1, #page[2], 2 do
  local nonce, held, jobs = page[2][i], 0, {}
  local inflight = e .. 'inflight:' .. nonce
  local fields = pcall_('HLEN', inflight)
  -- `registered` and `k` are always there.
  if type(fields) == 'number' and fields > 2 then
    held = fields - 2 - call('HEXISTS', inflight, 'paused')
  end
  if held > 0 and call('MEMORY', 'USAGE', inflight, 'SAMPLES', 0) <= most then
    local all = call('HGETALL', inflight)
    for j = 1, #all, 2 do
      local _, ms, queue = decode_record(all[j + 1])
      if tonumber(all[j]) and ms then
        jobs[#jobs + 1] = queue
        jobs[#jobs + 1] = int(ms)
      end
    end
  end
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = nonce, held, pcall_('PTTL', e .. 'lease:' .. nonce), jobs
  n = n + 4
end
return reply
