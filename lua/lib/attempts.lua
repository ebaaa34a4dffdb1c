-- Attempts and recoveries of a job, kept beside it because its bytes stay as they are: `<attempts> <recoveries> <ms>`.
local JOB_TTL = 604800

local function job_key(queue, raw)
  local text = raw
  if #raw > 16384 then
    text = #raw .. '\0' .. string.sub(raw, 1, 8192) .. string.sub(raw, -8192)
  end
  return e .. 'job:' .. redis.sha1hex(queue .. '\0' .. text)
end

local function decode_attempts(value)
  local attempts, recoveries, last = string.match(value or '', '^(%d+) (%d+) (%d+)$')
  return tonumber(attempts) or 0, tonumber(recoveries) or 0, tonumber(last) or 0
end

local function read_attempts(key)
  local value = pcall_('GET', key)
  return decode_attempts(type(value) == 'string' and value or nil)
end

local function write_attempts(key, attempts, recoveries, last)
  call('SET', key, int(attempts) .. ' ' .. int(recoveries) .. ' ' .. int(last), 'EX', JOB_TTL)
  call('SET', e .. 'jobs', '1', 'EX', JOB_TTL)
end
