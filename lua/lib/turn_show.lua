-- A part of turn.lua: what everybody sees of the jobs that were taken, and the answer.
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
  -- Where every slot that wanted a job could have one, the caller knows slots and claims.
  local plain_reply = n_free == n_next + n_idle
  for i = 1, n_taken do
    local slot, queue, raw = slots[free[i]], taken_queue[i], taken[i]
    if queue ~= last_queue then
      last_queue = queue
      head = '{"queue":' .. quote(queue) .. ',"run_at":"' .. run_at .. '","worker":"' .. name .. '.'
    end
    writes[n_writes + 1] = p .. 'worker:' .. name .. '.' .. slot .. pid .. list
    writes[n_writes + 2] = head .. slot .. pid .. '","payload":' .. raw .. '}'
    n_writes = n_writes + 2
    local old, memo = status_at[i] and found[status_at[i]], nil
    if old and rare().status_key(raw) == lookup[status_at[i]] then
      write(lookup[status_at[i]], rare().status_value(2, old, 'null'))
      memo = 't'
    end
    if attempts_at[i] and found[attempts_at[i]] then
      memo = (memo or '') .. found[attempts_at[i]]
    end
    if memo or taken_place[i] ~= taken_place[1] then plain_reply = false end
    memos[i] = memo
    reply[5 + i] = raw
    cleared[free[i]] = nil
  end
  if plain_reply then
    reply[5] = '=' .. taken_place[1] .. ':' .. n_taken
  else
    for i = 1, n_taken do
      memos[i] = slots[free[i]] .. ':' .. claims[i] .. ':' .. taken_place[i] .. ':' .. (memos[i] or '')
    end
    reply[5] = table.concat(memos, ',')
  end
end
for i = 1, n_already do
  reply[5 + n_taken + i] = already[i]
end
