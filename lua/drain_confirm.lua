-- Confirms that marked pods are idle, right before they are given up, and makes their marks last that long. A marked
-- pod takes no job, so one that is idle stays idle. Foreign workers know no marks: of them this says only how they are
-- now.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     owner, ms until a mark lapses by itself, number of pods (at most 1000),
--          then for each: `<cluster namespace>/<uid>`, number of its processes, their nonces,
--          number of its foreign workers, their ids
-- Returns  for each: 1 where it bears our mark and holds no job, else 0
-- @include base

local reply, at = {}, 4
for i = 1, tonumber(ARGV[3]) do
  local key = e .. 'draining:' .. ARGV[at]
  local idle = pcall_('GET', key) == ARGV[1]
  local processes = tonumber(ARGV[at + 1])
  for j = at + 2, at + 1 + processes do
    local inflight = e .. 'inflight:' .. ARGV[j]
    local fields = pcall_('HLEN', inflight)
    if type(fields) == 'number' and fields > 0 then
      fields = fields - call('HEXISTS', inflight, 'registered') - call('HEXISTS', inflight, 'k') - call('HEXISTS', inflight, 'paused')
    end
    if fields ~= 0 then idle = false end
  end
  at = at + 2 + processes
  local foreign = tonumber(ARGV[at])
  for j = at + 1, at + foreign do
    local busy = pcall_('GET', p .. 'worker:' .. ARGV[j])
    if type(busy) ~= 'string' and busy ~= false or (busy and string.find(busy, '"payload"', 1, true)) then idle = false end
  end
  at = at + 1 + foreign
  if idle then
    call('PEXPIRE', key, ARGV[2])
  end
  reply[i] = idle and 1 or 0
end
return reply
