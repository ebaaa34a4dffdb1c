-- A part of turn.lua: takes jobs for the free slots.
-- Everything that can go wrong with a job comes before its LPOP, and its record is written right after it: a script that
-- stops in between would lose the job, since Lua does not roll back.
-- `runs`: what was taken at a time, as queue, its place in the list, first and last job. Job i goes to slot free[i], and its
-- payload stands at reply[5 + i]. Of the first `n_looked` jobs the status was looked up: status_at[i], nil without an id.
local reply, runs, n_taken, n_looked, status_at = { 'ok', now, '', '', '' }, {}, 0, 0, first_status
local quarantined, quarantine_type, k_written, leftover = 0, nil, n_next + n_idle == 0, {}
local stamp = ' ' .. now .. ' '
local function may_quarantine()
  quarantine_type = quarantine_type or call('TYPE', e .. 'quarantine').ok
  return quarantine_type == 'list' or quarantine_type == 'none'
end
local function take_from(queue, place, items)
  local key, head, looked_up = p .. 'queue:' .. queue, stamp .. #queue .. ' ' .. queue, items ~= nil
  while n_taken < n_free and quarantined < 100 do
    local wanted = n_free - n_taken
    items = items or pcall_('LRANGE', key, 0, wanted - 1)
    if items.err or #items == 0 then return end
    local pops, fill, n_fill, bad, n_bad, taken_before = 0, {}, 0, nil, 0, n_taken
    for i = 1, math.min(#items, wanted) do
      local raw = items[i]
      if (byte(raw, -1) == 125 and sub(raw, 1, 10) == '{"class":"') or rare().is_job(raw) then
        n_taken = n_taken + 1
        local at = free[n_taken]
        fill[n_fill + 1], fill[n_fill + 2] = argv[SLOTS + at], at + ahead - (at > n_ended and passed or 0) .. head .. raw
        n_fill = n_fill + 2
        reply[5 + n_taken] = raw
        if bad and looked_up then status_at[n_taken] = status_at[i] end
      elseif quarantined < 100 and may_quarantine() then
        bad = bad or {}
        n_bad = n_bad + 1
        bad[n_bad] = now .. ' ' .. #queue .. ' ' .. queue .. raw
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
      runs[#runs + 1] = { queue, place, taken_before + 1, n_taken }
    end
    if looked_up then n_looked = n_taken end
    local f = flow(queue)
    f[1] = f[1] + pops
    if bad then
      call('RPUSH', e .. 'quarantine', unpack(bad))
      f[2] = f[2] + n_bad
    end
    if #items >= wanted then leftover[queue] = true end
    if #items < wanted then return end
    items, looked_up = nil, false
  end
end

if state == '' and n_free > 0 then
  -- Long lists: skip sixteen empty queues at a time.
  local stride, keys, head = n_queues <= 4 and 4 or 16, {}, p .. 'queue:'
  for from = 0, n_queues - 1, stride do
    if n_taken >= n_free then break end
    local to, some = math.min(from + stride, n_queues) - 1, true
    if n_queues > 4 then
      local n = to - from + 1
      for i = 1, n do keys[i] = head .. argv[queues_at + from + i] end
      some = call('EXISTS', unpack(keys, 1, n)) > 0
    end
    for i = from, some and to or from - 1 do
      local queue = argv[queues_at + 1 + i]
      if n_taken >= n_free then break end
      if not paused[queue] then take_from(queue, i, i == 0 and first or nil) end
    end
  end
end
if not k_written then
  call('HSET', inflight, 'k', highest)
end

if state == '' and (outrun or (n_taken < n_free and quarantined >= 100)) then
  state = 'm'
end
