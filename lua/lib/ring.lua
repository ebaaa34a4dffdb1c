-- Wakes one worker that waits on the queue's token, unless a token lies there already. A key of another type is left
-- alone, and a refusal is none of the caller's, whose work is done: polling finds the work.
local function ring(queue)
  local token = e .. 'token:' .. queue
  if call('TYPE', token).ok == 'none' then
    redis.pcall('RPUSH', token, '1')
  end
end
