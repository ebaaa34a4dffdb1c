-- Releases a process: puts back every record that it holds, the newest claim first so that the oldest ends up in front,
-- then removes its registration. Used by its owner at shutdown, and by others for a process that is gone. The reason is
-- checked here again. A second call finds nothing and does nothing.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     nonce, reason, evidence, most recoveries
--          reason "owner": the process itself; its jobs were interrupted, which counts nothing
--          reason "lease": its lease lapsed
--          reason "instance": evidence is the instance name under which a successor registered
--          reason "dead": evidence is its registration as read, and its pid was seen dead
--          reason "silent": its pod is gone; evidence is how many ms its lease has left at most, having missed a renewal
-- Returns  {"released", put back, failed, quarantined} | {"alive"} where the reason does not hold | {"absent"};
--          an error, after all others were put back, where a record cannot be read
-- @include base
-- @include record
-- @include ring
-- @include json
-- @include attempts
-- @include status
-- @include append
-- @include putback
-- @include flow

local nonce, reason, evidence, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local inflight, lease = e .. 'inflight:' .. nonce, e .. 'lease:' .. nonce
local registration = call('HGET', e .. 'processes', nonce)
local held = call('HGETALL', inflight)
if not registration and #held == 0 then
  return { 'absent' }
end
if (reason == 'lease' and call('EXISTS', lease) == 1)
  or (reason == 'instance' and (pcall_('HGET', e .. 'instances', evidence) or nonce) == nonce)
  or (reason == 'dead' and registration ~= evidence)
  or (reason == 'silent' and call('PTTL', lease) > tonumber(evidence)) then
  return { 'alive' }
end
-- Passes when Redis is full, even for a missing key, and so does what follows it.
call('PEXPIRE', lease, 1)
-- A user who may not do this would put the same jobs back again and again: refused before the first.
call('HDEL', inflight, '')

local known = registration and decode(registration) or {}
local function worker_id(slot)
  return (known.name or nonce) .. '.' .. slot .. (known.tail or '')
end

-- Whether two decoded values are equal.
local function same(a, b)
  if type(a) ~= 'table' or type(b) ~= 'table' then
    return a == b
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

local recent = {}
local function recent_failures(list)
  recent[list] = recent[list] or pcall_('LRANGE', list, -100, -1)
  return recent[list].err and {} or recent[list]
end

-- A foreign prune removes the display registration and may have failed the job: then the common failed list or that of
-- the queue names exactly this registration, nonce included, with this payload, which may have been written anew (`\/`
-- as `/`). An equal payload alone proves nothing.
local function failed_by_prune(id, queue, raw)
  if pcall_('SISMEMBER', p .. 'workers', id) == 1 then
    return false
  end
  local mark, payload = '"worker":' .. quote(id), decode(raw)
  for _, list in ipairs({ p .. 'failed', p .. queue .. '_failed' }) do
    for _, entry in ipairs(recent_failures(list)) do
      if string.find(entry, mark, 1, true)
        and (string.find(entry, raw, 1, true) or payload and same((decode(entry) or {}).payload, payload)) then
        return true
      end
    end
  end
  return false
end

local records, unreadable = {}, nil
for i = 1, #held, 2 do
  local slot = held[i]
  if slot ~= 'registered' and slot ~= 'k' and slot ~= 'paused' then
    local k, ms, queue, at = decode_record(held[i + 1])
    if k then
      records[#records + 1] = { k = k, ms = ms, queue = queue, raw = string.sub(held[i + 1], at), slot = slot }
    else
      unreadable = slot
    end
  end
end
table.sort(records, function(a, b) return a.k > b.k end)

local counts, stuck, flows = { back = 0, failed = 0, quarantined = 0 }, 0, {}
for _, record in ipairs(records) do
  local id = worker_id(record.slot)
  local outcome = 'failed'
  if failed_by_prune(id, record.queue, record.raw) then
    -- What a foreign prune has failed, it has counted; of statuses it knows nothing.
    local tracked = status_key(record.raw)
    local old = tracked and pcall_('GET', tracked)
    if type(old) == 'string' then write_status(tracked, old, 3, 'null') end
  else
    outcome = put_back(record.queue, record.raw, reason ~= 'owner', record.ms, most, id)
    if outcome == 'failed' then
      pcall_('INCR', p .. 'stat:processed')
      pcall_('INCR', p .. 'stat:failed')
    end
  end
  if outcome then
    counts[outcome] = counts[outcome] + 1
    local f = flows[record.queue] or { 0, 0 }
    flows[record.queue] = f
    if outcome == 'back' then f[2] = f[2] + 1 else f[1] = f[1] + 1 end
    call('HDEL', inflight, record.slot)
  else
    stuck = stuck + 1
  end
end
for queue, f in pairs(flows) do
  local old = pcall_('GET', e .. 'flow:' .. queue)
  call('SET', e .. 'flow:' .. queue, add_flow(type(old) == 'string' and old or '', 0, f[1], f[2], 0))
end
if unreadable then
  return redis.error_reply('ERR field ' .. unreadable .. ' of ' .. inflight .. ' is no in-flight record')
end
if stuck > 0 then
  return { 'alive' }
end

for slot = 0, (tonumber(known.slots) or 0) - 1 do
  local id = worker_id(slot)
  pcall_('SREM', p .. 'workers', id)
  pcall_('HDEL', p .. 'workers:heartbeat', id)
  call('DEL', p .. 'worker:' .. id, p .. 'worker:' .. id .. ':started', p .. 'stat:processed:' .. id, p .. 'stat:failed:' .. id)
end
if known.instance and known.instance ~= '' and pcall_('HGET', e .. 'instances', known.instance) == nonce then
  call('HDEL', e .. 'instances', known.instance)
end
call('DEL', inflight, lease)
pcall_('HDEL', e .. 'suspects', nonce)
call('HDEL', e .. 'processes', nonce)
call('SET', e .. 'gone:' .. nonce, '1', 'PX', 600000)
return { 'released', counts.back, counts.failed, counts.quarantined }
