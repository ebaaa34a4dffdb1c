-- Takes the element at the head of a queue. The answer is kept with the call's number, so that a call whose reply was
-- lost returns the same element when it is sent again.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, queue, "job" to move what cannot be a job to quarantine on the way, or ""
-- Returns  "=" and the element, or "" where the queue is empty
-- @include base
-- @include numbered
-- @include json
-- @include append

local queue, list = ARGV[3], p .. 'queue:' .. ARGV[3]
call('LLEN', list)
also_when_full()
if ARGV[4] == 'job' then
  for _ = 1, 100 do
    local head = call('LINDEX', list, 0)
    if not head or is_job(head) or not quarantine(queue, head) then break end
    call('LPOP', list)
  end
end
local head = call('LINDEX', list, 0)
if not head then
  return answer()
end
local reply = answer('=' .. head)
call('LPOP', list)
return reply
