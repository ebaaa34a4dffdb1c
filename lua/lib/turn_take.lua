-- A part of turn.lua: takes jobs for the free slots.
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
