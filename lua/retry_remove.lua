-- Removes waiting retries, each named by its due time and its claim.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, then due time in ms and claim of each (at most 500)
-- Returns  how many were removed, as text
local p, e, call = string.sub(KEYS[1], 1, -5), KEYS[1], redis.call
-- @include numbered

local retry = e .. 'retry'
call('ZCARD', retry)
also_when_full()
local n = 0
for i = 3, #ARGV, 2 do
  local head = ARGV[i + 1] .. ' '
  -- Members of one score are in the order of their bytes, so those of this claim follow each other.
  local same = call('ZRANGEBYSCORE', retry, ARGV[i], ARGV[i], 'LIMIT', 0, 1000)
  for j = 1, #same do
    if string.sub(same[j], 1, #head) == head then
      n = n + call('ZREM', retry, same[j])
      break
    end
  end
end
return answer(tostring(n))
