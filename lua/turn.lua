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
--           jobs reserved now, as `<slot>:<claim>:<place of the queue in the list>:<memo>` with commas between, their payloads, …,
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

-- Each other end is recorded before its record goes; where every key it could go to holds another type, it stays.
for i = 1, n_ends do
  local one, r = ends[i], rare()
  if one.record then
    local raw, verb, a = sub(one.record, one.raw_at), one.verb, one.at
    local code, result, recorded = nil, 'null', true
    if verb == 'done' then
      code, result = 4, ARGV[a]
    elseif verb == 'failed' then
      code = 3
      local lists, entry = ARGV[a], ARGV[a + 1] .. raw .. ARGV[a + 2]
      if lists == 'm' or lists == 'rm' then
        recorded = r.append(p .. one.queue .. '_failed', entry)
        if recorded then pcall_('SADD', p .. 'failed_queues', one.queue .. '_failed') end
      end
      if lists == 'r' or lists == 'rm' or not recorded then
        recorded = r.append(p .. 'failed', entry) or (recorded and lists == 'rm') or r.quarantine(one.queue, raw)
      end
    elseif verb == 'retry' then
      code = 1
      local error_text = ARGV[a + 2]
      local member = nonce .. '.' .. one.claim .. ' ' .. ARGV[a + 1] .. ' ' .. #one.queue .. ' ' .. #error_text .. ' ' .. one.queue .. error_text .. raw
      if type(pcall_('ZADD', e .. 'retry', int(now + tonumber(ARGV[a])), member)) == 'number' then
        local key = r.job_key(one.queue, raw)
        local _, recoveries, last = r.read_attempts(key)
        r.write_attempts(key, tonumber(ARGV[a + 1]), recoveries, last)
      else
        recorded = r.quarantine(one.queue, raw)
      end
    elseif verb == 'return' then
      recorded = r.put_back(one.queue, raw, ARGV[a] == '1', one.ms, most, name .. '.' .. one.slot .. pid .. list) ~= nil
      -- What was read of the first queue is not its head any more: taking that would drop this job and run another twice.
      if one.queue == ARGV[queues_at] then first = nil end
      if ARGV[a] == '1' then found[3] = '1' end -- what it wrote is looked up when this very turn takes the job again
    else
      recorded = r.quarantine(one.queue, raw)
    end

    if recorded then
      cleared[n_plain + i] = true
      local f = flow(one.queue)
      if verb == 'return' then
        f[3] = f[3] + 1
      else
        f[2], f[4] = f[2] + 1, f[4] + math.max(now - one.ms, 0)
        if verb ~= 'quarantine' then processed = processed + 1 end
        if verb == 'failed' or verb == 'retry' then failures = failures + 1 end
      end
      if one.forget and (verb == 'done' or verb == 'failed') then
        call('DEL', r.job_key(one.queue, raw))
      end
      local old = one.status_at and found[one.status_at]
      if old and code then
        r.write_status(p .. 'job:' .. one.status .. ':status', old, code, result)
      end
    else
      refused[#refused + 1] = n_plain + i
    end
  end
end
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

-- Everything that can go wrong with a job comes before its LPOP, and its record is written right after it: a script that
-- stops in between would lose the job, since Lua does not roll back.
local taken, taken_queue, taken_place, looked_up, status_at, n_taken = {}, {}, {}, {}, {}, 0
local quarantined, quarantine_type, k_written, leftover = 0, nil, n_next + n_idle == 0, {}
local stamp = ' ' .. int(now) .. ' '
local function may_quarantine()
  quarantine_type = quarantine_type or call('TYPE', e .. 'quarantine').ok
  return quarantine_type == 'list' or quarantine_type == 'none'
end
local function take_from(queue, place, items, statuses)
  local key, head = p .. 'queue:' .. queue, stamp .. #queue .. ' ' .. queue
  while n_taken < n_free and quarantined < 100 do
    local wanted = n_free - n_taken
    items = items or pcall_('LRANGE', key, 0, wanted - 1)
    if items.err or #items == 0 then return end
    local pops, fill, n_fill, bad = 0, {}, 0, {}
    for i = 1, math.min(#items, wanted) do
      local raw = items[i]
      if (byte(raw, -1) == 125 and sub(raw, 1, 10) == '{"class":"') or rare().is_job(raw) then
        n_taken = n_taken + 1
        fill[n_fill + 1], fill[n_fill + 2] = slots[free[n_taken]], claims[n_taken] .. head .. raw
        n_fill = n_fill + 2
        taken[n_taken], taken_queue[n_taken], taken_place[n_taken] = raw, queue, place
        looked_up[n_taken], status_at[n_taken] = statuses and true, statuses and statuses[i]
      elseif quarantined < 100 and may_quarantine() then
        bad[#bad + 1] = int(now) .. ' ' .. #queue .. ' ' .. queue .. raw
        quarantined = quarantined + 1
      else
        break
      end
      pops = pops + 1
    end
    if pops == 0 then return end
    call('LTRIM', key, pops, -1) -- an LPOP of so many that does not answer them once more
    if n_fill > 0 then
      fill[n_fill + 1], fill[n_fill + 2] = 'k', highest
      call('HSET', inflight, unpack(fill))
      k_written = true
    end
    local f = flow(queue)
    f[1] = f[1] + pops
    if #bad > 0 then
      call('RPUSH', e .. 'quarantine', unpack(bad))
      f[2] = f[2] + #bad
    end
    if #items >= wanted then leftover[queue] = true end
    if #items < wanted then return end
    items, statuses = nil, nil
  end
end

if state == '' and n_free > 0 then
  -- Long lists: skip sixteen empty queues at a time.
  local stride = n_queues <= 4 and 4 or 16
  for from = 0, n_queues - 1, stride do
    if n_taken >= n_free then break end
    local to, some = math.min(from + stride, n_queues) - 1, true
    if n_queues > 4 then
      local keys = {}
      for i = from, to do keys[#keys + 1] = p .. 'queue:' .. ARGV[queues_at + i] end
      some = call('EXISTS', unpack(keys)) > 0
    end
    for i = from, some and to or from - 1 do
      local queue = ARGV[queues_at + i]
      if n_taken >= n_free then break end
      if not paused[queue] then take_from(queue, i, i == 0 and first, i == 0 and first and first_status) end
    end
  end
end
if not k_written then
  call('HSET', inflight, 'k', highest)
end

if n_taken < n_free and quarantined >= 100 then
  state = 'm'
end

-- Statuses, attempts and display copies of what was taken.
local reply, memos = { 'ok', now, state, paused_json, '' }, {}
if n_taken > 0 then
  -- What the first look-up could not know: jobs of further queues, and attempts where any are kept.
  local more, n_more, attempts_at = {}, #found, {}
  for i = 1, n_taken do
    local queue = taken_queue[i]
    if not flow_at[queue] then
      n_more = n_more + 1
      more[n_more - #found] = e .. 'flow:' .. queue
      flow_at[queue] = n_more
    end
    if found[3] then
      n_more = n_more + 1
      more[n_more - #found] = rare().job_key(queue, taken[i])
      attempts_at[i] = n_more
    end
    if not looked_up[i] then
      local key = status_of(taken[i])
      if key then
        n_more = n_more + 1
        more[n_more - #found] = key
        lookup[n_more] = key
        status_at[i] = n_more
      end
    end
  end
  if n_more > #found then
    local known, offset = call('MGET', unpack(more)), #found
    for i = 1, n_more - offset do found[offset + i] = known[i] end
  end
  local run_at, last_queue, head = iso(now), nil, nil
  for i = 1, n_taken do
    local slot, queue, raw = slots[free[i]], taken_queue[i], taken[i]
    if queue ~= last_queue then
      last_queue = queue
      head = '{"queue":' .. quote(queue) .. ',"run_at":"' .. run_at .. '","worker":"' .. name .. '.'
    end
    writes[n_writes + 1] = p .. 'worker:' .. name .. '.' .. slot .. pid .. list
    writes[n_writes + 2] = head .. slot .. pid .. '","payload":' .. raw .. '}'
    n_writes = n_writes + 2
    local old, memo = status_at[i] and found[status_at[i]], ''
    if old and rare().status_key(raw) == lookup[status_at[i]] then
      write(lookup[status_at[i]], rare().status_value(2, old, 'null'))
      memo = 't'
    end
    if attempts_at[i] and found[attempts_at[i]] then
      memo = memo .. found[attempts_at[i]]
    end
    memos[i] = slot .. ':' .. claims[i] .. ':' .. taken_place[i] .. ':' .. memo
    reply[5 + i] = raw
    cleared[free[i]] = nil
  end
  reply[5] = table.concat(memos, ',')
end
for i = 1, n_already do
  reply[5 + n_taken + i] = already[i]
end

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
