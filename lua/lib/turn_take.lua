-- A part of turn.lua: takes jobs for the free slots.
-- A job's record is written before the job is popped: a script that stops in between (a permission was revoked) would
-- lose it otherwise, since Lua does not roll back.
-- `runs`: what was taken at a time, as queue, its place in the list, first and last job. Job i goes to slot free[i], and its
-- payload stands at reply[5 + i]. Of the first `n_looked` jobs the status was looked up: status_at[i], nil without an id.
local reply, runs, n_taken, n_looked, status_at = {
  'ok', now, '', '', '', nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
}, {}, 0, 0, first_status
local quarantined, quarantine_type, k_written, leftover = 0, nil, n_wanted == 0, {}

if state == '' and n_free > 0 then
  local stamp = format(' %d ', now)
  -- Long lists: skip sixteen empty queues at a time.
  local stride, keys, queue_key = n_queues <= 4 and 4 or 16, {}, p .. 'queue:'
  for from = 0, n_queues - 1, stride do
    if n_taken >= n_free then break end
    local to, some = math.min(from + stride, n_queues) - 1, true
    if n_queues > 4 then
      local n = to - from + 1
      for i = 1, n do keys[i] = queue_key .. argv[queues_at + from + i] end
      some = call('EXISTS', unpack(keys, 1, n)) > 0
    end
    for place = from, some and to or from - 1 do
      local queue = argv[queues_at + 1 + place]
      local key, head, items = queue_key .. queue, stamp .. #queue .. ' ' .. queue, nil
      if place == 0 then items = first end
      local looked_up = items ~= nil
      while not paused[queue] and n_taken < n_free and quarantined < 100 do
        local wanted = n_free - n_taken
        items = items or pcall_('LRANGE', key, '0', format('%d', wanted - 1))
        if items.err or #items == 0 then break end
        local pops, n_fill, bad, n_bad, taken_before = 0, 0, nil, 0, n_taken
        local fill = { nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil }
        for i = 1, math.min(#items, wanted) do
          local raw = items[i]
          if (byte(raw, -1) == 125 and sub(raw, 1, 10) == '{"class":"') or rare().is_job(raw) then
            n_taken = n_taken + 1
            local at = free[n_taken]
            fill[n_fill + 1], fill[n_fill + 2] = argv[SLOTS + at], format('%d', at + ahead - (at > n_ended and passed or 0)) .. head .. raw
            n_fill = n_fill + 2
            reply[5 + n_taken] = raw
            if bad and looked_up then status_at[n_taken] = status_at[i] end
          else
            quarantine_type = quarantine_type or call('TYPE', e .. 'quarantine').ok
            if quarantined >= 100 or (quarantine_type ~= 'list' and quarantine_type ~= 'none') then break end
            bad = bad or {}
            n_bad = n_bad + 1
            bad[n_bad] = format('%d ', now) .. #queue .. ' ' .. queue .. raw
            quarantined = quarantined + 1
          end
          pops = pops + 1
        end
        if pops == 0 then break end
        if bad then call('RPUSH', e .. 'quarantine', unpack(bad)) end
        if n_fill > 0 then
          fill[n_fill + 1], fill[n_fill + 2] = 'k', format('%d', highest)
          call('HSET', inflight, unpack(fill, 1, n_fill + 2))
          k_written = true
          runs[#runs + 1] = { queue, place, taken_before + 1, n_taken }
        end
        local rest = pops == n_wanted and wanted_text or format('%d', pops)
        if pcall_('LTRIM', key, rest, '-1').err then -- an LPOP of so many that does not answer them once more
          for i = 1, n_fill, 2 do call('HDEL', inflight, fill[i]) end
          call('LTRIM', key, rest, '-1')
        end
        if looked_up then n_looked = n_taken end
        local f = flow(queue)
        f[1], f[2] = f[1] + pops, f[2] + n_bad
        if ring_leftover == '1' and #items >= wanted then leftover[queue] = true end
        if #items < wanted then break end
        items, looked_up = nil, false
      end
      if n_taken >= n_free then break end
    end
  end
end
if not k_written then
  call('HSET', inflight, 'k', format('%d', highest))
end

if state == '' and (outrun or (n_taken < n_free and quarantined >= 100)) then
  state = 'm'
end
