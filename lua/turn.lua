-- One turn of a worker process: ends the claims it names, then reserves for the slots that want a job.
--
-- Safe to send twice: an end counts only while its slot holds exactly the claim named, a slot that holds a record gets
-- that record instead of a new job, and a claim number at or below the highest ever asked for pops nothing.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     nonce, lease ms, worker name, ":<pid>", ":<queues>", drain mark or "", queue whose token woke us or "",
--          most recoveries, first claim number wanted, how many are wanted, that less one, ring ("1": as below),
--          counts: six numbers of three digits each in base 64, the digit 0 being "0": plain ends, flow sums, other ends, ended slots
--          that want a next job, idle slots that want one, queues;
--          then the slots: of the plain ends (done, untracked, nothing kept under ext:job:), of the other ends, the idle ones;
--          then for each plain end its claim and a space;
--          then each flow sum over the plain ends: queue, ends, sum of their reservation times in ms;
--          then each other end: claim, status name or "", forget ("1": the job has an ext:job: key), verb, and by verb
--            done        result as JSON
--            failed      lists ("r": failed, "m": <queue>_failed, "rm", "": a backend of the user's has it),
--                        the record's JSON in front of the payload, and behind it
--            retry       delay ms, attempt that ended, error text
--            return      counted ("1" or "0")
--            quarantine  -
--          then the queues in order.
--          Claim numbers go to the first ended slots, in the order given, then to the idle ones.
-- Returns  {"gone", ms} where the process is not registered, else
--          {"ok", ms, "p" paused | "d" draining | "m" more may wait (it quarantined many, or claims were too old) | "", and behind that
--           how many it quarantined where it did; paused queues as JSON or "",
--           jobs reserved now, as `<slot>:<claim>:<place of the queue in the list>:<memo>` with commas between, or as
--           `=<place>:<jobs>` where they go to the wanting slots in order and have no memo; their payloads, …,
--           slot, claim, queue, reserved ms, memo, payload, … of each record that a wanting slot, or one whose end was
--           refused, holds already}
--          A memo is "t" where the job is tracked (or that is not known), then the value of its ext:job: key.
--
-- Work that is left in a queue rings its token where `ring` says so: the caller took a token, or asks for idle slots,
-- or has not rung for a while. A worker that goes from job to job need not wake others at every one.
--
-- Every job of a busy fleet comes through here, so strings, table fields, functions and calls are counted: they are
-- what it costs. Redis' Lua hashes every byte of every string it makes, reads a number from text at the price of two
-- calls, and writes one that it is handed with seventeen digits: so small numbers come packed, and those that came as
-- text are handed on as text. Tables that grow are made with room in them.
-- @include base

-- What few turns need is made when it is needed: every function costs each call its making.
local rare_functions
local function rare()
  if not rare_functions then
-- @include ring
-- @include record
-- @include json
-- @include attempts
-- @include status
-- @include append
-- @include putback
    rare_functions = {
      append_failure = append_failure, decode_record = decode_record, is_job = is_job, job_key = job_key, put = put, put_back = put_back, quarantine = quarantine,
      read_attempts = read_attempts, status_key = status_key, status_value = status_value, write_attempts = write_attempts,
      write_status = write_status,
    }
  end
  return rare_functions
end

local argv, tonumber, unpack = ARGV, tonumber, unpack
local byte, sub, find, match, format = string.byte, string.sub, string.find, string.match, string.format
local nonce, lease_ms, name, pid, list, drain, woken_by, most, base, wanted_text, last_wanted, ring_leftover, counts = unpack(argv, 1, 13)
base = tonumber(base)
local a1, a2, a3, b1, b2, b3, c1, c2, c3, d1, d2, d3, e1, e2, e3, f1, f2, f3 = byte(counts, 1, 18)
local ZERO = 48 * 4161 -- three digits "0"
local n_plain, n_sums, n_ends = a1 * 4096 + a2 * 64 + a3 - ZERO, b1 * 4096 + b2 * 64 + b3 - ZERO, c1 * 4096 + c2 * 64 + c3 - ZERO
local n_next, n_idle, n_queues = d1 * 4096 + d2 * 64 + d3 - ZERO, e1 * 4096 + e2 * 64 + e3 - ZERO, f1 * 4096 + f2 * 64 + f3 - ZERO
local n_wanted = n_next + n_idle
local inflight, lease = e .. 'inflight:' .. nonce, e .. 'lease:' .. nonce

-- Slot i stands at argv[SLOTS + i] and what it holds at held[HELD + i]; false once it is free.
local SLOTS, HELD = 13, 3
local n_ended = n_plain + n_ends
local n_slots = n_ended + n_idle
local claims_at = SLOTS + n_slots
local sums_at = claims_at + n_plain
local queues_at = sums_at + 3 * n_sums -- for now: the other ends stand in between

local held = call('HMGET', inflight, 'registered', 'k', 'paused', unpack(argv, SLOTS + 1, SLOTS + n_slots))
if not held[1] then
  return { 'gone', now }
end
local highest = tonumber(held[2]) or 0

local lookup = {
  p .. 'pause-all-workers', e .. 'paused', e .. 'jobs', p .. 'stat:processed', lease,
  nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
}
local n_lookup, failed_at, drain_at = 5, nil, nil
if n_ends > 0 then
  n_lookup = n_lookup + 1
  lookup[n_lookup] = p .. 'stat:failed'
  failed_at = n_lookup
end
if drain ~= '' then
  n_lookup = n_lookup + 1
  lookup[n_lookup] = e .. 'draining:' .. drain
  drain_at = n_lookup
end
local flow_at, flows = {}, {}
local function flow(queue)
  local f = flows[queue]
  if not f then
    f = { 0, 0, 0, 0 }
    flows[queue] = f
  end
  return f
end
local function look_up_flow(queue)
  if not flow_at[queue] then
    n_lookup = n_lookup + 1
    lookup[n_lookup] = e .. 'flow:' .. queue
    flow_at[queue] = n_lookup
  end
end

-- `refused`: places whose claim is not the one named. `unfit`: a plain end whose record is not there any more.
local refused, processed, failures, unfit = {}, 0, 0, false
for i = 1, n_plain do
  local record, claim = held[HELD + i], argv[claims_at + i]
  if not record or sub(record, 1, #claim) ~= claim then
    unfit = true
    break
  end
end
if not unfit then
  processed = n_plain
  for i = HELD + 1, HELD + n_plain do held[i] = false end
  for i = 1, n_sums do
    local at = sums_at + 3 * i
    local queue, ended, times = argv[at - 2], n_sums == 1 and n_plain or tonumber(argv[at - 1]), tonumber(argv[at])
    local f, busy = flow(queue), ended * now - times
    f[2] = f[2] + ended
    if busy > 0 then f[4] = f[4] + busy end
    look_up_flow(queue)
  end
else
  for i = 1, n_plain do
    local record, claim = held[HELD + i], argv[claims_at + i]
    if record and sub(record, 1, #claim) == claim then
      local _, ms, queue = rare().decode_record(record)
      local f = flow(queue)
      f[2], f[4] = f[2] + 1, f[4] + math.max(now - ms, 0)
      look_up_flow(queue)
      held[HELD + i] = false
      processed = processed + 1
    elseif record then
      refused[#refused + 1] = i
    end
  end
end
local ends
if n_ends > 0 then
  ends = {}
  local at, arity = queues_at, { done = 1, failed = 3, retry = 3, ['return'] = 1, quarantine = 0 }
  for i = 1, n_ends do
    local place, verb = n_plain + i, argv[at + 4]
    local record = held[HELD + place]
    local one = { slot = argv[SLOTS + place], claim = argv[at + 1], status = argv[at + 2], forget = argv[at + 3] == '1', verb = verb, at = at + 5 }
    ends[i] = one
    at = at + 4 + arity[verb]
    if record then
      if sub(record, 1, #one.claim + 1) == one.claim .. ' ' then
        local _, ms, queue, raw_at = rare().decode_record(record)
        one.record, one.queue, one.ms, one.raw_at = record, queue, ms, raw_at
        look_up_flow(queue)
        if one.status ~= '' then
          n_lookup = n_lookup + 1
          lookup[n_lookup] = p .. 'job:' .. one.status .. ':status'
          one.status_at = n_lookup
        end
      else
        refused[#refused + 1] = place
      end
    end
  end
  queues_at = at
end

-- The last `"id":"…"` near the end of a payload is the job's, if it has one; a hit is checked before anything is
-- written. Ours and php-resque's have 32 digits there and no prefix.
local job_prefix = p .. 'job:'
local function status_of(raw)
  local tail = find(raw, '","prefix":"","queue_time":', -43, true)
  if tail and tail > 38 and sub(raw, tail - 38, tail - 33) == '"id":"' then
    local id = sub(raw, tail - 32, tail - 1)
    if not find(id, '"', 1, true) and not find(id, '\\', 1, true) then return job_prefix .. id .. ':status' end
  end
  local at, last = find(raw, '"id":"', #raw > 600 and #raw - 600 or 1, true), nil
  while at do
    last = at + 6
    at = find(raw, '"id":"', last, true)
  end
  local stop = last and find(raw, '"', last, true)
  if not stop then return nil end
  local id = sub(raw, last, stop - 1)
  if id == '' or find(id, '\\', 1, true) then return nil end
  if sub(raw, stop, stop + 11) == '","prefix":"' and byte(raw, stop + 12) ~= 34 then
    local prefix = match(raw, '^([^"\\]*)"', stop + 12)
    if prefix then id = prefix .. '_' .. id end
  end
  return job_prefix .. id .. ':status'
end

-- The first queue is read before the look-up, so that most turns need only one. Reading takes nothing. `may_take` is no
-- less than the slots that will be free.
local first, first_status, may_take = nil, {}, 0
if base + n_wanted - 1 > highest then
  may_take = n_next
  for i = n_ended + 1, n_slots do
    if not held[HELD + i] then may_take = may_take + 1 end
  end
end
if may_take > 0 and n_queues > 0 then
  first = pcall_('LRANGE', p .. 'queue:' .. argv[queues_at + 1], '0', may_take == n_wanted and last_wanted or format('%d', may_take - 1))
  if first.err then first = nil end
  local n_first = first and #first or 0
  for i = 1, n_first do
    local key = status_of(first[i])
    if key then
      n_lookup = n_lookup + 1
      lookup[n_lookup] = key
      first_status[i] = n_lookup
    end
  end
  if n_first > 0 then look_up_flow(argv[queues_at + 1]) end
end
local found = call('MGET', unpack(lookup, 1, n_lookup))

-- A full Redis refuses a script whose first write needs memory: each turn begins with one that does nothing.
call('HDEL', inflight, '')
-- Renewal extends the lease. A turn sets it again where it lapsed although nobody has released the process.
if not found[5] then
  call('SET', lease, '1', 'PX', lease_ms)
end

-- Values written at the very end, all in one MSET, which replaces a key of any type and cannot fail.
local writes, n_writes = {
  nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
}, 0
local function write(key, value)
  writes[n_writes + 1], writes[n_writes + 2] = key, value
  n_writes = n_writes + 2
end

-- @include turn_ends

-- A statistic that is no number, or one too large to be counted exactly, is left alone.
local old = found[4]
if processed > 0 and (not old or (#old < 16 and match(old, '^%-?%d+$'))) then
  write(lookup[4], format('%d', (old and tonumber(old) or 0) + processed))
end
old = failed_at and found[failed_at]
if failures > 0 and (not old or (#old < 16 and match(old, '^%-?%d+$'))) then
  write(lookup[failed_at], format('%d', (old and tonumber(old) or 0) + failures))
end

-- What is held already.
local state = ''
if held[3] or (found[1] and string.gsub(string.lower(found[1]), '%s', '') == 'true') then state = 'p' end
if drain_at and found[drain_at] then state = 'd' end
local paused_json = found[2] or ''
-- Places of the records to be answered: those of refused ends, and those that idle slots hold.
local answered = refused

-- Slots that may take a new job: they hold none, and their claim number is new. Slot i asks for claim i + ahead, or,
-- where it is idle, for claim i + ahead - passed.
local ahead, passed = base - 1, n_ended - n_next
local free, n_free, outrun = {}, 0, false
for i = 1, n_slots do
  if i <= n_next or i > n_ended then
    if held[HELD + i] then
      if i > n_ended then answered[#answered + 1] = i end
    elseif i + ahead - (i > n_ended and passed or 0) > highest then
      n_free = n_free + 1
      free[n_free] = i
    else
      outrun = true
    end
  end
end
highest = math.max(highest, base + n_wanted - 1)

local paused = {}
if paused_json ~= '' then
  local ok, names = pcall(cjson.decode, paused_json)
  if ok and type(names) == 'table' then
    for _, queue in ipairs(names) do paused[queue] = true end
  end
end

-- @include turn_take

-- @include turn_show

-- Per-queue flow; what it is, says lib/flow.lua.
for queue, f in pairs(flows) do
  local started, ended, returned, busy = f[1], f[2], f[3], f[4]
  if started + ended + returned > 0 then
    local key, known = e .. 'flow:' .. queue, nil
    if flow_at[queue] then known = found[flow_at[queue]] else known = pcall_('GET', key) end
    if type(known) == 'string' then
      local s, d, r, b = match(known, '^(%d+) (%d+) (%d+) (%d+)$')
      if s then started, ended, returned, busy = s + started, d + ended, r + returned, b + busy end
    end
    write(key, format('%d %d %d %d', started, ended, returned, busy))
  end
end
if n_writes > 0 then
  call('MSET', unpack(writes, 1, n_writes))
end

-- Slots that ended and took nothing new: their records go last.
if n_taken < n_ended or free[n_ended] ~= n_ended then
  local gone_slots, gone_keys, n_gone, next_free = {}, {}, 0, 1
  for i = 1, n_ended do
    if next_free <= n_taken and free[next_free] == i then
      next_free = next_free + 1
    elseif not held[HELD + i] then
      n_gone = n_gone + 1
      gone_slots[n_gone], gone_keys[n_gone] = argv[SLOTS + i], worker_key .. argv[SLOTS + i] .. worker_tail
    end
  end
  if n_gone > 0 then
    call('HDEL', inflight, unpack(gone_slots))
    call('DEL', unpack(gone_keys))
  end
end

-- Work left behind wakes the next worker.
if woken_by ~= '' and not paused[woken_by] then
  leftover[woken_by] = true
end
for queue in pairs(leftover) do
  if pcall_('EXISTS', e .. 'token:' .. queue) == 0 and call('EXISTS', p .. 'queue:' .. queue) == 1 then
    call('RPUSH', e .. 'token:' .. queue, '1')
  end
end
return reply
