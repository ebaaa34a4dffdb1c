-- Extends the lease of a registered process, repairs its display copies where a foreign prune removed them, and reports
-- what there is to do, in one call.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     nonce, lease ms, worker name, ":<pid>", ":<queues>", number of slots, drain mark or "",
--          beat ("1": write heartbeats and check the display),
--          number of statistics, then that many pairs of worker id and "<processed> <failed>" (absolute),
--          then the queues to look at (none: no look)
-- Returns  {"gone", ms} where the process is not registered, else
--          {"ok", ms, records held, "p" | "d" | "", paused queues as JSON or "", queues that hold jobs among those looked at,
--           number of known queues, number of due retries, s of the earliest delayed job or ""}
-- @include base
-- @include record

local nonce, lease_ms, name, pid, list, slots = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local drain, beat, n_stats = ARGV[7], ARGV[8] == '1', tonumber(ARGV[9])
local inflight, lease = e .. 'inflight:' .. nonce, e .. 'lease:' .. nonce

-- Passes when Redis is full, and so does what follows it.
local alive = call('PEXPIRE', lease, lease_ms)
local own = call('HMGET', inflight, 'registered', 'paused')
if not own[1] then
  return { 'gone', int(now) }
end
if alive == 0 then
  call('SET', lease, '1', 'PX', lease_ms)
end
local records = call('HLEN', inflight) - 2 - (own[2] and 1 or 0)

if beat then
  local started
  for slot = 0, slots - 1 do
    local host = name .. '.' .. slot .. pid
    local id = host .. list
    local missing = pcall_('SADD', p .. 'workers', id) == 1
    pcall_('HSET', p .. 'workers:heartbeat', id, iso(now))
    if missing then
      started = started or string.match(call('HGET', e .. 'processes', nonce) or '', '"started":(%d+)') or now
      call('SET', p .. 'worker:' .. id .. ':started', iso(tonumber(started)))
      local record = call('HGET', inflight, slot)
      if record then
        local _, ms, queue, at = decode_record(record)
        call('SET', p .. 'worker:' .. id, '{"queue":' .. quote(queue) .. ',"run_at":"' .. iso(ms)
          .. '","worker":"' .. host .. '","payload":' .. string.sub(record, at) .. '}')
      end
    end
  end
end
for i = 0, n_stats - 1 do
  local id = ARGV[10 + 2 * i]
  local processed, failed = string.match(ARGV[11 + 2 * i], '^(%d+) (%d+)$')
  call('MSET', p .. 'stat:processed:' .. id, processed, p .. 'stat:failed:' .. id, failed)
end

local state, flags = '', call('MGET', p .. 'pause-all-workers', e .. 'paused', e .. 'draining:' .. drain)
local pause_all = flags[1] and string.gsub(string.lower(flags[1]), '%s', '') == 'true'
if own[2] or pause_all then state = 'p' end
if drain ~= '' and flags[3] then state = 'd' end

local waiting, from = 0, 10 + 2 * n_stats
while from <= #ARGV do
  local keys = {}
  for i = from, math.min(from + 999, #ARGV) do
    keys[#keys + 1] = p .. 'queue:' .. ARGV[i]
  end
  waiting = waiting + call('EXISTS', unpack(keys))
  from = from + 1000
end
local known = pcall_('SCARD', p .. 'queues')
-- Counted, not read: a member holds a whole payload.
local retry = pcall_('ZCOUNT', e .. 'retry', '-inf', int(now))
local delayed = pcall_('ZRANGE', p .. 'delayed_queue_schedule', 0, 0, 'WITHSCORES')
return { 'ok', int(now), records, state, flags[2] or '', waiting, type(known) == 'number' and known or 0,
  type(retry) == 'number' and retry or 0, not delayed.err and delayed[2] or '' }
