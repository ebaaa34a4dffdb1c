-- Sizes of queues, and the elements at their heads, long ones cut in the middle. Only reads.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     queues, at most 1000
-- Returns  ms, then for each queue its size (-1 where the key is no list) and its head, or its head's first and last
--          kilobytes, or ""
-- @include base

local reply = { int(now) }
for i = 1, #ARGV do
  local list = p .. 'queue:' .. ARGV[i]
  local size = pcall_('LLEN', list)
  local head = ''
  if type(size) ~= 'number' then
    size = -1
  elseif size > 0 then
    head = call('LINDEX', list, 0) or ''
    if #head > 4096 then
      head = string.sub(head, 1, 2048) .. '\0' .. string.sub(head, -2048)
    end
  end
  reply[#reply + 1] = size
  reply[#reply + 1] = head
end
return reply
