-- The failure lists that a process keeps, by its registration. Backends of the user's own cannot be asked from here:
-- the common list stands in for them.
local function failure_lists(nonce)
  local registration = pcall_('HGET', e .. 'processes', nonce)
  local known = type(registration) == 'string' and decode(registration) or {}
  return known.failure_lists
end

-- Puts a job of the process that ARGV[1] names back in front of its queue. A counted one was lost with its process;
-- beyond `most` recoveries it goes to the process's failure lists as a DirtyExit, so that a job that kills its worker
-- cannot circle, or to quarantine where it cannot be read here. A loss counts only if the run began after the last
-- counted one: many equal payloads lost in one crash are one loss. Returns 'back', 'failed' (the caller counts it) or
-- 'quarantined', or nil where every key it could go to holds another type.
local function put_back(queue, raw, counted, began, most, worker)
  local tracked = status_key(raw)
  local old = tracked and pcall_('GET', tracked)
  if type(old) ~= 'string' then tracked = nil end
  if counted then
    local key = job_key(queue, raw)
    local attempts, recoveries, last = read_attempts(key)
    if began > last then
      recoveries = recoveries + 1
      last = now
    end
    if recoveries > most and decode(raw) then
      local failed_at = string.format('%04d/%02d/%02d %02d:%02d:%02d UTC', civil(now))
      local entry = '{"failed_at":"' .. failed_at .. '","payload":' .. raw .. ',"exception":"DirtyExit","error":"The process that ran this job was lost '
        .. recoveries .. ' times; it is not run again.","backtrace":[],"worker":' .. quote(worker) .. ',"queue":' .. quote(queue) .. '}'
      if append_failure(failure_lists(ARGV[1]), queue, entry) then
        call('DEL', key)
        if tracked then write_status(tracked, old, 3, 'null') end
        return 'failed'
      end
    elseif recoveries > most and quarantine(queue, raw) then
      -- Nested too deeply to be read here, or no JSON at all: dashboards must not find it in a failed list.
      call('DEL', key)
      if tracked then write_status(tracked, old, 3, 'null') end
      return 'quarantined'
    end
    write_attempts(key, attempts, recoveries, last)
  end
  if not put('LPUSH', p .. 'queue:' .. queue, raw) then
    return quarantine(queue, raw) and 'quarantined' or nil
  end
  pcall_('SADD', p .. 'queues', queue)
  if tracked then write_status(tracked, old, 1, 'null') end
  ring(queue)
  return 'back'
end
