-- What processes hold, long records cut in the middle. Only reads.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     nonces, at most 100
-- Returns  for each: 1 where its lease stands, else 0; then the fields and values of its in-flight hash, a record of
--          more than 16 KiB as its first 8 and last 2, a NUL byte between
local e, call = KEYS[1], redis.call

local reply = {}
for i = 1, #ARGV do
  local held = redis.pcall('HGETALL', e .. 'inflight:' .. ARGV[i])
  if held.err then
    held = {}
  end
  for j = 2, #held, 2 do
    if #held[j] > 16384 then
      held[j] = string.sub(held[j], 1, 8192) .. '\0' .. string.sub(held[j], -2048)
    end
  end
  reply[i] = { call('EXISTS', e .. 'lease:' .. ARGV[i]), held }
end
return reply
