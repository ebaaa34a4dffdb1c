-- A part of turn.lua: what everybody sees of the jobs that were taken, and the answer.
-- Statuses, attempts and display copies of what was taken.
reply[3], reply[4] = quarantined > 0 and state .. quarantined or state, paused_json
local worker_key, worker_tail = p .. 'worker:' .. name .. '.', pid .. list
if n_taken > 0 then
  -- What the first look-up could not know: jobs of further queues, and attempts where any are kept.
  local known = n_lookup
  local attempts_at = found[3] and {}
  for r = 1, #runs do
    local queue, from, to = runs[r][1], runs[r][3], runs[r][4]
    look_up_flow(queue)
    for i = attempts_at and from or math.max(from, n_looked + 1), to do
      local raw = reply[5 + i]
      if attempts_at then
        n_lookup = n_lookup + 1
        lookup[n_lookup] = rare().job_key(queue, raw)
        attempts_at[i] = n_lookup
      end
      if i > n_looked then
        local key = status_of(raw)
        status_at[i] = nil
        if key then
          n_lookup = n_lookup + 1
          lookup[n_lookup] = key
          status_at[i] = n_lookup
        end
      end
    end
  end
  if n_lookup > known then
    local more = call('MGET', unpack(lookup, known + 1, n_lookup))
    for i = known + 1, n_lookup do found[i] = more[i - known] end
  end
  local since, middle, memos = ',"run_at":"' .. iso(now) .. '","worker":"' .. name .. '.', pid .. '","payload":', nil
  for r = 1, #runs do
    local run = runs[r]
    local head = (find(run[1], '[^%w_]') and '{"queue":' .. quote(run[1]) or '{"queue":"' .. run[1] .. '"') .. since
    for i = run[3], run[4] do
      local slot, raw = argv[SLOTS + free[i]], reply[5 + i]
      writes[n_writes + 1], writes[n_writes + 2] = worker_key .. slot .. worker_tail, head .. slot .. middle .. raw .. '}'
      n_writes = n_writes + 2
      local key, memo = status_at[i], nil
      local old = key and found[key]
      if old and rare().status_key(raw) == lookup[key] then
        write(lookup[key], rare().status_value(2, old, 'null'))
        memo = 't'
      end
      if attempts_at and found[attempts_at[i]] then
        memo = (memo or '') .. found[attempts_at[i]]
      end
      if memo then
        memos = memos or {}
        memos[i] = memo
      end
    end
  end
  -- Where every slot that wanted a job could have one, the caller knows slots and claims.
  if not memos and runs[1][2] == runs[#runs][2] and n_free == n_wanted then
    reply[5] = '=' .. runs[1][2] .. ':' .. n_taken
  else
    local jobs = {}
    for r = 1, #runs do
      for i = runs[r][3], runs[r][4] do
        local at = free[i]
        jobs[i] = argv[SLOTS + at] .. ':' .. at + ahead - (at > n_ended and passed or 0) .. ':' .. runs[r][2] .. ':' .. (memos and memos[i] or '')
      end
    end
    reply[5] = table.concat(jobs, ',')
  end
end
-- What is held already.
local last = 5 + n_taken
for i = 1, #answered do
  local record, r = held[HELD + answered[i]], rare()
  local k, ms, queue, raw_at = r.decode_record(record)
  local raw = sub(record, raw_at)
  local value = found[3] and pcall_('GET', r.job_key(queue, raw)) or ''
  reply[last + 1], reply[last + 2], reply[last + 3], reply[last + 4], reply[last + 5], reply[last + 6] =
    argv[SLOTS + answered[i]], k, queue, ms, type(value) == 'string' and 't' .. value or 't', raw
  last = last + 6
end
