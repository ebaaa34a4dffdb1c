-- One turn of a worker process: ends the claims it names, then reserves for the slots that want a job.
--
-- Safe to send twice: an end counts only while its slot holds exactly the claim named, a slot that holds a record gets
-- that record instead of a new job, and a claim number at or below the highest ever asked for pops nothing.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     nonce, lease ms, worker name, ":<pid>", ":<queues>", drain mark or "", queue whose token woke us or "",
--          most recoveries, first claim number wanted,
--          numbers of: plain ends, flow sums, other ends, ended slots that want a next job, idle slots that want one, queues;
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
--          {"ok", ms, "p" paused | "d" draining | "m" more may wait (it quarantined many, or claims were too old) | "", paused queues as JSON or "",
--           jobs reserved now, as `<slot>:<claim>:<place of the queue in the list>:<memo>` with commas between, or as
--           `=<place>:<jobs>` where they go to the wanting slots in order and have no memo; their payloads, …,
--           slot, claim, queue, reserved ms, memo, payload, … of each record that a wanting slot, or one whose end was
--           refused, holds already}
--          A memo is "t" where the job is tracked (or that is not known), then the value of its ext:job: key.
--
-- Every job of a busy fleet comes through here, so strings, table fields and calls are counted: they are what it costs.
-- @include base
-- @include record
-- @include flow

-- What few turns need is made when it is needed: every function costs each call its making.
local rare_functions
local function rare()
  if not rare_functions then
-- @include ring
-- @include json
-- @include attempts
-- @include status
-- @include append
-- @include putback
    rare_functions = {
      append_failure = append_failure, is_job = is_job, job_key = job_key, put_back = put_back, quarantine = quarantine,
      read_attempts = read_attempts, status_key = status_key, status_value = status_value, write_attempts = write_attempts,
      write_status = write_status,
    }
  end
  return rare_functions
end

local argv, tonumber, unpack = ARGV, tonumber, unpack
local nonce, lease_ms, name, pid, list, drain, woken_by, most, base, n_plain, n_sums, n_ends, n_next, n_idle, n_queues = unpack(argv, 1, 15)
most, base, n_plain, n_sums, n_ends = tonumber(most), tonumber(base), tonumber(n_plain), tonumber(n_sums), tonumber(n_ends)
n_next, n_idle, n_queues = tonumber(n_next), tonumber(n_idle), tonumber(n_queues)
local inflight, lease = e .. 'inflight:' .. nonce, e .. 'lease:' .. nonce
local byte, sub, find, match, format = string.byte, string.sub, string.find, string.match, string.format

-- Slot i stands at argv[SLOTS + i] and what it holds at held[HELD + i]; false once it is free.
local SLOTS, HELD = 15, 3
local n_ended = n_plain + n_ends
local n_slots = n_ended + n_idle
local claims_at = SLOTS + n_slots
local sums_at = claims_at + n_plain
local queues_at = sums_at + 3 * n_sums -- for now: the other ends stand in between

-- First of all a write that Redis lets through when it is full: what follows in this script may then write as well.
local alive = call('PEXPIRE', lease, lease_ms)
local held = call('HMGET', inflight, 'registered', 'k', 'paused', unpack(argv, SLOTS + 1, SLOTS + n_slots))
if not held[1] then
  return { 'gone', now }
end
if alive == 0 then
  call('SET', lease, '1', 'PX', lease_ms)
end
local highest = tonumber(held[2]) or 0

local lookup = { p .. 'pause-all-workers', e .. 'paused', e .. 'jobs', p .. 'stat:processed', p .. 'stat:failed', e .. 'draining:' .. drain }
local n_lookup = 6
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
    local queue, ended, times = argv[at - 2], tonumber(argv[at - 1]), tonumber(argv[at])
    local f, busy = flow(queue), ended * now - times
    f[2] = f[2] + ended
    if busy > 0 then f[4] = f[4] + busy end
    look_up_flow(queue)
  end
else
  for i = 1, n_plain do
    local record, claim = held[HELD + i], argv[claims_at + i]
    if record and sub(record, 1, #claim) == claim then
      local _, ms, queue = decode_record(record)
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
        local _, ms, queue, raw_at = decode_record(record)
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

-- The last `"id":"…"` near the end of a payload is the job's, if it has one; a hit is checked before anything is written.
local job_prefix = p .. 'job:'
local function status_of(raw)
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
if base + n_next + n_idle - 1 > highest then
  may_take = n_next
  for i = n_ended + 1, n_slots do
    if not held[HELD + i] then may_take = may_take + 1 end
  end
end
if may_take > 0 and n_queues > 0 then
  first = pcall_('LRANGE', p .. 'queue:' .. argv[queues_at + 1], 0, may_take - 1)
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
local found = call('MGET', unpack(lookup))

-- Values written at the very end, all in one MSET, which replaces a key of any type and cannot fail.
local writes, n_writes = {}, 0
local function write(key, value)
  writes[n_writes + 1], writes[n_writes + 2] = key, value
  n_writes = n_writes + 2
end

-- @include turn_ends

local function count(at, key, by)
  local old = found[at]
  if by > 0 and (not old or match(old, '^%-?%d+$')) then
    write(p .. key, int((tonumber(old) or 0) + by))
  end
end
count(4, 'stat:processed', processed)
count(5, 'stat:failed', failures)

-- What is held already.
local state = ''
if held[3] or (found[1] and string.gsub(string.lower(found[1]), '%s', '') == 'true') then state = 'p' end
if drain ~= '' and found[6] then state = 'd' end
local paused_json = found[2] or ''
local already, n_already = {}, 0
local function answer(i)
  local record = held[HELD + i]
  local k, ms, queue, raw_at = decode_record(record)
  local raw = sub(record, raw_at)
  local value = found[3] and pcall_('GET', rare().job_key(queue, raw)) or ''
  local a, m = already, n_already
  a[m + 1], a[m + 2], a[m + 3], a[m + 4], a[m + 5], a[m + 6] =
    argv[SLOTS + i], k, queue, ms, type(value) == 'string' and 't' .. value or 't', raw
  n_already = m + 6
end
for i = 1, #refused do answer(refused[i]) end

-- Slots that may take a new job: they hold none, and their claim number is new. Slot i asks for claim i + ahead, or, where
-- it is idle, for claim i + ahead - passed.
local ahead, passed = base - 1, n_ended - n_next
local free, n_free, outrun = {}, 0, false
for i = 1, n_slots do
  if i <= n_next or i > n_ended then
    if held[HELD + i] then
      if i > n_ended then answer(i) end
    elseif i + ahead - (i > n_ended and passed or 0) > highest then
      n_free = n_free + 1
      free[n_free] = i
    else
      outrun = true
    end
  end
end
highest = math.max(highest, base + n_next + n_idle - 1)

local paused = {}
if paused_json ~= '' then
  local ok, names = pcall(cjson.decode, paused_json)
  if ok and type(names) == 'table' then
    for _, queue in ipairs(names) do paused[queue] = true end
  end
end

-- @include turn_take

-- @include turn_show

for queue, f in pairs(flows) do
  if f[1] + f[2] + f[3] > 0 then
    local old
    if flow_at[queue] then old = found[flow_at[queue]] else old = pcall_('GET', e .. 'flow:' .. queue) end
    write(e .. 'flow:' .. queue, add_flow(type(old) == 'string' and old or '', f[1], f[2], f[3], f[4]))
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
