-- One turn of a worker process: ends the jobs it names, then reserves for the slots that want one.
--
-- Safe to send twice: an end counts only while its slot holds exactly the claim named, a slot that holds a record gets
-- that record instead of a new job, and a claim number at or below the highest ever asked for pops nothing.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     nonce, lease ms, worker name, ":<pid>", ":<queues>", drain mark or "", queue whose token woke us or "",
--          most recoveries, first claim number wanted,
--          number of ends, of slots that want a job, of queues;
--          then each end: slot, k, status name or "", forget ("1": the job has an attempts key), verb, and by verb
--            done        result as JSON
--            failed      lists ("r": failed, "m": <queue>_failed, "rm", "": a backend of the user's has it),
--                        the record's JSON in front of the payload, and behind it
--            retry       delay ms, attempt that ended, error text
--            return      counted ("1" or "0")
--            quarantine  -
--          then the slots that want a job, in the order of their claim numbers; then the queues in order.
-- Returns  {"gone", ms} where the process is not registered, else
--          {"ok", ms, "p" paused | "d" draining | "", paused queues as JSON or "",
--           slot, k, queue, reserved ms, attempts value or "", raw payload, …} with each record that a wanting slot, or one
--          whose end was refused, holds now.
-- @include base
-- @include record
-- @include ring
-- @include json
-- @include attempts
-- @include status
-- @include append
-- @include putback
-- @include flow

local nonce, lease_ms, name, pid, list = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local drain, woken_by, most, base = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local n_ends, n_wants, n_queues = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local inflight, lease = e .. 'inflight:' .. nonce, e .. 'lease:' .. nonce

-- First of all a write that Redis lets through when it is full: what follows in this script may then write as well.
local alive = call('PEXPIRE', lease, lease_ms)

-- The arguments of ends vary in number: take them apart once.
local ends, fields, at = {}, { 'registered', 'k', 'paused' }, 13
local arity = { done = 1, failed = 3, retry = 3, ['return'] = 1, quarantine = 0 }
for i = 1, n_ends do
  local verb = ARGV[at + 4]
  ends[i] = { slot = ARGV[at], k = tonumber(ARGV[at + 1]), status = ARGV[at + 2], forget = ARGV[at + 3] == '1', verb = verb, at = at + 5 }
  fields[#fields + 1] = ARGV[at]
  at = at + 5 + arity[verb]
end
local wants_at = at
for i = 0, n_wants - 1 do
  fields[#fields + 1] = ARGV[wants_at + i]
end
local queues_at = wants_at + n_wants

local held = call('HMGET', inflight, unpack(fields))
if not held[1] then
  return { 'gone', int(now) }
end
if alive == 0 then
  call('SET', lease, '1', 'PX', lease_ms)
end
local highest = tonumber(held[2]) or 0

local lookup = { p .. 'pause-all-workers', e .. 'paused', e .. 'jobs', p .. 'stat:processed', p .. 'stat:failed', e .. 'draining:' .. drain }
local flow_of, flows = {}, {}
for i = 1, n_ends do
  local one, record = ends[i], held[3 + i]
  if record then
    local k, ms, queue, raw_at = decode_record(record)
    if k == one.k then
      one.record, one.queue, one.ms, one.raw_at = record, queue, ms, raw_at
      if not flow_of[queue] then
        lookup[#lookup + 1] = e .. 'flow:' .. queue
        flow_of[queue] = #lookup
      end
      if one.status ~= '' then
        lookup[#lookup + 1] = p .. 'job:' .. one.status .. ':status'
        one.status_at = #lookup
      end
    end
  end
end
local found = call('MGET', unpack(lookup))

-- Values written at the very end, all in one MSET. MSET replaces a key of any type and cannot fail.
local writes = {}
local function write(key, value)
  writes[#writes + 1] = key
  writes[#writes + 1] = value
end

local function flow(queue)
  local f = flows[queue]
  if not f then
    f = { 0, 0, 0, 0 }
    flows[queue] = f
  end
  return f
end

-- Ends. Each is recorded before its record goes; where every key it could be written to holds another type, it stays.
local processed, failures, cleared, refused = 0, 0, {}, {}
for i = 1, n_ends do
  local one = ends[i]
  if one.record then
    local raw = function() return string.sub(one.record, one.raw_at) end
    local verb, a, code, result, recorded = one.verb, one.at, nil, 'null', true
    local f = flow(one.queue)
    if verb == 'done' then
      code, result = 4, ARGV[a]
    elseif verb == 'failed' then
      code = 3
      local lists = ARGV[a]
      if lists ~= '' then
        local entry = ARGV[a + 1] .. raw() .. ARGV[a + 2]
        if string.find(lists, 'r', 1, true) then
          recorded = append(p .. 'failed', entry)
        end
        if string.find(lists, 'm', 1, true) then
          if append(p .. one.queue .. '_failed', entry) then
            pcall_('SADD', p .. 'failed_queues', one.queue .. '_failed')
          else
            recorded = recorded and lists ~= 'm' or append(p .. 'failed', entry)
          end
        end
        recorded = recorded or quarantine(one.queue, raw())
      end
    elseif verb == 'retry' then
      code = 1
      local body, error_text = raw(), ARGV[a + 2]
      local member = nonce .. '.' .. int(one.k) .. ' ' .. ARGV[a + 1] .. ' ' .. #one.queue .. ' ' .. #error_text .. ' ' .. one.queue .. error_text .. body
      if type(pcall_('ZADD', e .. 'retry', int(now + tonumber(ARGV[a])), member)) == 'number' then
        local key = job_key(one.queue, body)
        local _, recoveries, last = read_attempts(key)
        write_attempts(key, tonumber(ARGV[a + 1]), recoveries, last)
      else
        recorded = quarantine(one.queue, body)
      end
    elseif verb == 'return' then
      recorded = put_back(one.queue, raw(), ARGV[a] == '1', one.ms, most, name .. '.' .. one.slot .. pid .. list) ~= nil
    else
      recorded = quarantine(one.queue, raw())
    end

    if recorded then
      cleared[one.slot] = true
      if verb == 'return' then
        f[3] = f[3] + 1
      else
        f[2] = f[2] + 1
        f[4] = f[4] + math.max(now - one.ms, 0)
        if verb ~= 'quarantine' then processed = processed + 1 end
        if verb == 'failed' or verb == 'retry' then failures = failures + 1 end
      end
      if one.forget and (verb == 'done' or verb == 'failed') then
        call('DEL', job_key(one.queue, raw()))
      end
      local old = one.status_at and found[one.status_at]
      if old and code then
        write_status(p .. 'job:' .. one.status .. ':status', old, code, result)
      end
    else
      refused[#refused + 1] = i
    end
  elseif held[3 + i] then
    refused[#refused + 1] = i
  end
end
if processed > 0 and not (found[4] and not string.match(found[4], '^%-?%d+$')) then
  write(p .. 'stat:processed', int((tonumber(found[4]) or 0) + processed))
end
if failures > 0 and not (found[5] and not string.match(found[5], '^%-?%d+$')) then
  write(p .. 'stat:failed', int((tonumber(found[5]) or 0) + failures))
end

-- Reply: what is held already goes first.
local state = ''
local pause_all = found[1] and string.gsub(string.lower(found[1]), '%s', '') == 'true'
if held[3] or pause_all then state = 'p' end
if drain ~= '' and found[6] then state = 'd' end
local paused_json = found[2] or ''
local reply, n = { 'ok', int(now), state, paused_json }, 4
local function answer(slot, record)
  local k, ms, queue, raw_at = decode_record(record)
  local raw = string.sub(record, raw_at)
  local value = found[3] and pcall_('GET', job_key(queue, raw)) or ''
  reply[n + 1], reply[n + 2], reply[n + 3] = slot, int(k), queue
  reply[n + 4], reply[n + 5], reply[n + 6] = int(ms), type(value) == 'string' and value or '', raw
  n = n + 6
end
for i = 1, #refused do
  answer(ends[refused[i]].slot, held[3 + refused[i]])
end

-- Slots that may take a new job: they hold none, and their claim number is new.
local free, claims = {}, {}
for i = 1, n_wants do
  local slot, record = ARGV[wants_at + i - 1], held[3 + n_ends + i]
  if record and not cleared[slot] then
    answer(slot, record)
  elseif base + i - 1 > highest then
    free[#free + 1] = slot
    claims[#claims + 1] = base + i - 1
  end
end
if n_wants > 0 and base + n_wants - 1 > highest then
  highest = base + n_wants - 1
end

local taken, next_free, quarantined, k_written = {}, 1, 0, n_wants == 0
local paused = {}
if paused_json ~= '' then
  local ok, names = pcall(cjson.decode, paused_json)
  if ok and type(names) == 'table' then
    for _, queue in ipairs(names) do paused[queue] = true end
  end
end

-- Everything that can go wrong with a job comes before its LPOP, and its record is written right after it: a script that
-- stops in between would lose the job, since Lua does not roll back.
local leftover, quarantine_type = {}, nil
local function may_quarantine()
  quarantine_type = quarantine_type or call('TYPE', e .. 'quarantine').ok
  return quarantine_type == 'list' or quarantine_type == 'none'
end
local function take_from(queue)
  local key = p .. 'queue:' .. queue
  while next_free <= #free and quarantined < 100 do
    local wanted = #free - next_free + 1
    local items = pcall_('LRANGE', key, 0, wanted - 1)
    if items.err or #items == 0 then return end
    local pops, fill, bad = 0, {}, {}
    for i = 1, #items do
      local raw = items[i]
      if is_job(raw) then
        local slot, k = free[next_free], claims[next_free]
        next_free = next_free + 1
        fill[#fill + 1] = slot
        fill[#fill + 1] = encode_record(int(k), queue, raw)
        taken[#taken + 1] = { slot, k, queue, raw }
      elseif quarantined < 100 and may_quarantine() then
        bad[#bad + 1] = int(now) .. ' ' .. #queue .. ' ' .. queue .. raw
        quarantined = quarantined + 1
      else
        break
      end
      pops = pops + 1
    end
    if pops == 0 then return end
    call('LPOP', key, pops)
    if #fill > 0 then
      fill[#fill + 1] = 'k'
      fill[#fill + 1] = int(highest)
      call('HSET', inflight, unpack(fill))
      k_written = true
    end
    if #bad > 0 then call('RPUSH', e .. 'quarantine', unpack(bad)) end
    if #fill > 0 then
      flow(queue)[1] = flow(queue)[1] + #fill / 2 - 1
    end
    if #bad > 0 then
      local f = flow(queue)
      f[1], f[2] = f[1] + #bad, f[2] + #bad
    end
    if #items == wanted then leftover[queue] = true end
    if #items < wanted then return end
  end
end

if state == '' and #free > 0 then
  if n_queues <= 4 then
    for i = 0, n_queues - 1 do
      local queue = ARGV[queues_at + i]
      if next_free > #free then break end
      if not paused[queue] then take_from(queue) end
    end
  else
    -- Long lists: skip sixteen empty queues at a time.
    for from = 0, n_queues - 1, 16 do
      if next_free > #free then break end
      local keys = {}
      for i = from, math.min(from + 15, n_queues - 1) do
        keys[#keys + 1] = p .. 'queue:' .. ARGV[queues_at + i]
      end
      if call('EXISTS', unpack(keys)) > 0 then
        for i = from, math.min(from + 15, n_queues - 1) do
          local queue = ARGV[queues_at + i]
          if next_free > #free then break end
          if not paused[queue] then take_from(queue) end
        end
      end
    end
  end
end
if not k_written then
  call('HSET', inflight, 'k', int(highest))
end

-- Statuses, attempts and display copies of what was taken.
if #taken > 0 then
  local more, status_at, attempts_at, flow_at = {}, {}, {}, {}
  for i = 1, #taken do
    local queue, raw = taken[i][3], taken[i][4]
    if not flow_of[queue] and not flow_at[queue] then
      more[#more + 1] = e .. 'flow:' .. queue
      flow_at[queue] = #more
    end
    if found[3] then
      more[#more + 1] = job_key(queue, raw)
      attempts_at[i] = #more
    end
    -- The last `"id":"…"` near the end is the job's, if it has one; a hit is checked before anything is written.
    local from = math.max(#raw - 600, 1)
    local id, prefix
    local found_at = string.find(raw, '"id":"', from, true)
    while found_at do
      id, prefix = string.match(raw, '^"id":"([%w_%-]+)","prefix":"([^"\\]*)"', found_at)
      if not id then id = string.match(raw, '^"id":"([%w_%-]+)"', found_at) end
      found_at = string.find(raw, '"id":"', found_at + 6, true)
    end
    if id then
      more[#more + 1] = p .. 'job:' .. (prefix and prefix ~= '' and prefix .. '_' or '') .. id .. ':status'
      status_at[i] = #more
    end
  end
  local known = #more > 0 and call('MGET', unpack(more)) or {}
  for queue, i in pairs(flow_at) do
    flow_of[queue] = true
    flows[queue].old = known[i] or ''
  end
  local run_at, queue_json = iso(now), {}
  for i = 1, #taken do
    local slot, k, queue, raw = taken[i][1], taken[i][2], taken[i][3], taken[i][4]
    local quoted = queue_json[queue] or cjson.encode(queue)
    queue_json[queue] = quoted
    local host = name .. '.' .. slot .. pid
    write(p .. 'worker:' .. host .. list, '{"queue":' .. quoted .. ',"run_at":"' .. run_at .. '","worker":"' .. host .. '","payload":' .. raw .. '}')
    local old = status_at[i] and known[status_at[i]]
    if old and status_key(raw) == more[status_at[i]] then
      write(more[status_at[i]], status_value(2, old, 'null'))
    end
    reply[n + 1], reply[n + 2], reply[n + 3] = slot, int(k), queue
    reply[n + 4], reply[n + 5], reply[n + 6] = int(now), attempts_at[i] and known[attempts_at[i]] or '', raw
    n = n + 6
    cleared[slot] = nil
  end
end

for queue, f in pairs(flows) do
  if f[1] + f[2] + f[3] > 0 then
    local old = f.old or (type(flow_of[queue]) == 'number' and found[flow_of[queue]])
    if not old and type(flow_of[queue]) ~= 'number' then
      old = pcall_('GET', e .. 'flow:' .. queue)
      old = type(old) == 'string' and old
    end
    write(e .. 'flow:' .. queue, add_flow(old or '', f[1], f[2], f[3], f[4]))
  end
end
if #writes > 0 then
  call('MSET', unpack(writes))
end

-- Slots that ended and took nothing new: their records go last.
local gone_slots, gone_keys = {}, {}
for slot in pairs(cleared) do
  gone_slots[#gone_slots + 1] = slot
  gone_keys[#gone_keys + 1] = p .. 'worker:' .. name .. '.' .. slot .. pid .. list
end
if #gone_slots > 0 then
  call('HDEL', inflight, unpack(gone_slots))
  call('DEL', unpack(gone_keys))
end

-- Work left behind wakes the next worker.
if woken_by ~= '' and not paused[woken_by] and not leftover[woken_by] and pcall_('LLEN', p .. 'queue:' .. woken_by) ~= 0 then
  leftover[woken_by] = true
end
for queue in pairs(leftover) do
  if pcall_('EXISTS', e .. 'token:' .. queue) == 0 and pcall_('LLEN', p .. 'queue:' .. queue) ~= 0 then
    call('RPUSH', e .. 'token:' .. queue, '1')
  end
end
return reply
