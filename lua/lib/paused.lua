-- The paused queues: a JSON list in one string, absent when none is paused. A value of another form counts as none.
local function read_paused()
  local ok, names = pcall(cjson.decode, redis.call('GET', e .. 'paused') or '[]')
  return ok and type(names) == 'table' and names or {}
end

-- Writes the list with `queue` in it or not; returns whether that was a change.
local function write_paused(names, queue, wanted)
  local left, found = {}, false
  for i = 1, #names do
    if names[i] == queue then
      found = true
    else
      left[#left + 1] = names[i]
    end
  end
  if found == wanted then
    return false
  end
  if wanted then
    left[#left + 1] = queue
  end
  if #left == 0 then
    redis.call('DEL', e .. 'paused')
  else
    redis.call('SET', e .. 'paused', cjson.encode(left))
  end
  return true
end
