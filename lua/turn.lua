-- One turn of a worker process: ends the claims it names, then reserves for the slots that want a job.
--
-- Safe to send twice: an end counts only while its slot holds exactly the claim named, a slot that holds a record gets
-- that record instead of a new job, and a claim number at or below the highest ever asked for pops nothing.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     nonce, lease ms, worker name, ":<pid>", ":<queues>", drain mark or "", queue whose token woke us or "",
--          most recoveries, first claim number wanted,
--          numbers of: plain ends, flow sums, other ends, ended slots that want a next job, idle slots that want one, queues;
--          then each plain end (done, untracked, nothing kept under ext:job:): slot, claim;
--          then each flow sum over the plain ends: queue, ends, sum of their reservation times in ms;
--          then each other end: slot, claim, status name or "", forget ("1": the job has an ext:job: key), verb, and by verb
--            done        result as JSON
--            failed      lists ("r": failed, "m": <queue>_failed, "rm", "": a backend of the user's has it),
--                        the record's JSON in front of the payload, and behind it
--            retry       delay ms, attempt that ended, error text
--            return      counted ("1" or "0")
--            quarantine  -
--          then the idle slots that want a job; then the queues in order.
--          Claim numbers go to the first ended slots, in the order given, then to the idle ones.
-- Returns  {"gone", ms} where the process is not registered, else
--          {"ok", ms, "p" paused | "d" draining | "m" ended by the many it quarantined: more may wait | "", paused queues as JSON or "",
--           jobs reserved now, as `<slot>:<claim>:<place of the queue in the list>:<memo>` with commas between, or as
--           `=<place>:<jobs>` where they go to the wanting slots in order and have no memo; their payloads, …,
--           slot, claim, queue, reserved ms, memo, payload, … of each record that a wanting slot, or one whose end was
--           refused, holds already}
--          A memo is "t" where the job is tracked (or that is not known), then the value of its ext:job: key.
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
      append = append, is_job = is_job, job_key = job_key, put_back = put_back, quarantine = quarantine,
      read_attempts = read_attempts, status_key = status_key, status_value = status_value, write_attempts = write_attempts,
      write_status = write_status,
    }
  end
  return rare_functions
end

local nonce, lease_ms, name, pid, list = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local drain, woken_by, most, base = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local n_plain, n_sums, n_ends = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local n_next, n_idle, n_queues = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local inflight, lease = e .. 'inflight:' .. nonce, e .. 'lease:' .. nonce
local byte, sub, find, match = string.byte, string.sub, string.find, string.match

-- First of all a write that Redis lets through when it is full: what follows in this script may then write as well.
local alive = call('PEXPIRE', lease, lease_ms)

-- Slots in the order in which claim numbers go to them; what each holds is at the same place in `held`, three further on.
local slots, fields, at = {}, { 'registered', 'k', 'paused' }, 16
for i = 1, n_plain do
  slots[i] = ARGV[at]
  fields[i + 3] = ARGV[at]
  at = at + 2
end
local sums_at = at
at = at + 3 * n_sums
local ends, arity = {}, { done = 1, failed = 3, retry = 3, ['return'] = 1, quarantine = 0 }
for i = 1, n_ends do
  local verb = ARGV[at + 4]
  ends[i] = { slot = ARGV[at], claim = ARGV[at + 1], status = ARGV[at + 2], forget = ARGV[at + 3] == '1', verb = verb, at = at + 5 }
  slots[n_plain + i] = ARGV[at]
  fields[n_plain + i + 3] = ARGV[at]
  at = at + 5 + arity[verb]
end
local n_ended = n_plain + n_ends
for i = 1, n_idle do
  slots[n_ended + i] = ARGV[at]
  fields[n_ended + i + 3] = ARGV[at]
  at = at + 1
end
local queues_at = at

local held = call('HMGET', inflight, unpack(fields))
if not held[1] then
  return { 'gone', now }
end
if alive == 0 then
  call('SET', lease, '1', 'PX', lease_ms)
end
local highest = tonumber(held[2]) or 0

local lookup = { p .. 'pause-all-workers', e .. 'paused', e .. 'jobs', p .. 'stat:processed', p .. 'stat:failed', e .. 'draining:' .. drain }
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
    lookup[#lookup + 1] = e .. 'flow:' .. queue
    flow_at[queue] = #lookup
  end
end

-- `cleared[i]`: slot i ended and its record may go. `refused`: places whose claim is not the one named.
local cleared, refused, processed, failures = {}, {}, 0, 0
local all_plain = true
for i = 1, n_plain do
  local record, claim = held[i + 3], ARGV[14 + 2 * i + 1]
  if record and sub(record, 1, #claim + 1) == claim .. ' ' then
    cleared[i] = true
    processed = processed + 1
  else
    all_plain = false
    if record then refused[#refused + 1] = i end
  end
end
if all_plain then
  for i = 0, n_sums - 1 do
    local queue, ended, times = ARGV[sums_at + 3 * i], tonumber(ARGV[sums_at + 3 * i + 1]), tonumber(ARGV[sums_at + 3 * i + 2])
    local f = flow(queue)
    f[2], f[4] = f[2] + ended, f[4] + math.max(ended * now - times, 0)
    look_up_flow(queue)
  end
else
  for i = 1, n_plain do
    if cleared[i] then
      local _, ms, queue = decode_record(held[i + 3])
      local f = flow(queue)
      f[2], f[4] = f[2] + 1, f[4] + math.max(now - ms, 0)
      look_up_flow(queue)
    end
  end
end
for i = 1, n_ends do
  local one, record = ends[i], held[n_plain + i + 3]
  if record then
    if sub(record, 1, #one.claim + 1) == one.claim .. ' ' then
      local _, ms, queue, raw_at = decode_record(record)
      one.record, one.queue, one.ms, one.raw_at = record, queue, ms, raw_at
      look_up_flow(queue)
      if one.status ~= '' then
        lookup[#lookup + 1] = p .. 'job:' .. one.status .. ':status'
        one.status_at = #lookup
      end
    else
      refused[#refused + 1] = n_plain + i
    end
  end
end

-- The last `"id":"…"` near the end of a payload is the job's, if it has one; a hit is checked before anything is written.
local function status_of(raw)
  local id, prefix
  local at_ = find(raw, '"id":"', #raw > 600 and #raw - 600 or 1, true)
  while at_ do
    id, prefix = match(raw, '^"id":"([%w_%-%.:]+)","prefix":"([^"\\]*)"', at_)
    if not id then id = match(raw, '^"id":"([%w_%-%.:]+)"', at_) end
    at_ = find(raw, '"id":"', at_ + 6, true)
  end
  return id and p .. 'job:' .. (prefix and prefix ~= '' and prefix .. '_' or '') .. id .. ':status'
end

-- The first queue is read before the look-up, so that most turns need only one. Reading takes nothing.
local first, first_status, may_take, next_claim = nil, {}, 0, base
for i = 1, n_ended + n_idle do
  if i <= n_next or i > n_ended then
    if next_claim > highest and (not held[i + 3] or i <= n_ended) then may_take = may_take + 1 end
    next_claim = next_claim + 1
  end
end
if may_take > 0 and n_queues > 0 then
  first = pcall_('LRANGE', p .. 'queue:' .. ARGV[queues_at], 0, may_take - 1)
  if first.err then first = nil end
  for i = 1, first and #first or 0 do
    local key = status_of(first[i])
    if key then
      lookup[#lookup + 1] = key
      first_status[i] = #lookup
    end
  end
  if first and #first > 0 then look_up_flow(ARGV[queues_at]) end
end
local found = call('MGET', unpack(lookup))

-- Values written at the very end, all in one MSET, which replaces a key of any type and cannot fail.
local writes, n_writes = {}, 0
local function write(key, value)
  writes[n_writes + 1], writes[n_writes + 2] = key, value
  n_writes = n_writes + 2
end

-- @include turn_ends

local function count(at_, key, by)
  local old = found[at_]
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
local function answer(slot, record)
  local k, ms, queue, raw_at = decode_record(record)
  local raw = sub(record, raw_at)
  local value = found[3] and pcall_('GET', rare().job_key(queue, raw)) or ''
  local a, m = already, n_already
  a[m + 1], a[m + 2], a[m + 3], a[m + 4], a[m + 5], a[m + 6] = slot, k, queue, ms, type(value) == 'string' and 't' .. value or 't', raw
  n_already = m + 6
end
for i = 1, #refused do
  answer(slots[refused[i]], held[refused[i] + 3])
end

-- Slots that may take a new job: they hold none, and their claim number is new.
local free, claims, n_free, k = {}, {}, 0, base
local function want(i)
  if held[i + 3] and not cleared[i] then
    if i > n_ended then answer(slots[i], held[i + 3]) end
  elseif k > highest then
    n_free = n_free + 1
    free[n_free], claims[n_free] = i, k
  end
  k = k + 1
end
for i = 1, n_next do want(i) end
for i = n_ended + 1, n_ended + n_idle do want(i) end
if k - 1 > highest then
  highest = k - 1
end

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
  call('MSET', unpack(writes))
end

-- Slots that ended and took nothing new: their records go last.
local gone_slots, gone_keys = {}, {}
for i in pairs(cleared) do
  gone_slots[#gone_slots + 1] = slots[i]
  gone_keys[#gone_keys + 1] = p .. 'worker:' .. name .. '.' .. slots[i] .. pid .. list
end
if #gone_slots > 0 then
  call('HDEL', inflight, unpack(gone_slots))
  call('DEL', unpack(gone_keys))
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
