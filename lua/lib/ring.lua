-- Wakes one worker that waits on the queue's token, unless a token lies there already. A key of another type is left
-- alone: polling finds the work.
local function ring(queue)
  local token = e .. 'token:' .. queue
  if call('TYPE', token).ok == 'none' then
    call('RPUSH', token, '1')
  end
end
