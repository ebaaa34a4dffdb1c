-- A part of turn.lua: records the ends that are more than a count.
-- Each other end is recorded before its record goes; where every key it could go to holds another type, it stays.
for i = 1, n_ends do
  local one, r = ends[i], rare()
  if one.record then
    local raw, verb, a = sub(one.record, one.raw_at), one.verb, one.at
    local code, result, recorded = nil, 'null', true
    if verb == 'done' then
      code, result = 4, argv[a]
    elseif verb == 'failed' then
      code = 3
      if argv[a] ~= '' then
        recorded = r.append_failure(argv[a], one.queue, argv[a + 1] .. raw .. argv[a + 2]) or r.quarantine(one.queue, raw)
      end
    elseif verb == 'retry' then
      code = 1
      local error_text = argv[a + 2]
      local member = nonce .. '.' .. one.claim .. ' ' .. argv[a + 1] .. ' ' .. #one.queue .. ' ' .. #error_text .. ' ' .. one.queue .. error_text .. raw
      if r.put('ZADD', e .. 'retry', int(now + tonumber(argv[a])), member) then
        local key = r.job_key(one.queue, raw)
        local _, recoveries, last = r.read_attempts(key)
        r.write_attempts(key, tonumber(argv[a + 1]), recoveries, last)
      else
        recorded = r.quarantine(one.queue, raw)
      end
    elseif verb == 'return' then
      local outcome = r.put_back(one.queue, raw, argv[a] == '1', one.ms, tonumber(most), name .. '.' .. one.slot .. pid .. list)
      recorded = outcome ~= nil
      if recorded and outcome ~= 'back' then verb = outcome == 'failed' and 'failed' or 'quarantine' end -- it has ended here
      -- What was read of the first queue is not its head any more: taking that would drop this job and run another
      -- twice.
      if one.queue == argv[queues_at + 1] then first = nil end
      if argv[a] == '1' then found[3] = '1' end -- what it wrote is looked up when this very turn takes the job again
    else
      recorded = r.quarantine(one.queue, raw)
    end

    if recorded then
      held[HELD + n_plain + i] = false
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
