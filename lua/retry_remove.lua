-- Removes waiting retries, each named by its due time and its claim, with the attempts that are kept of them: a job
-- enqueued anew begins at its first. Equal payloads without an id share their attempts, so those that still wait begin
-- anew as well: whether there are any would take a walk through all. Statuses expire like those of jobs that have
-- ended.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, then due time in ms and claim of each (at most 500, and no more than some
--          megabytes of them)
-- Returns  how many were removed, as text
-- @include base
-- @include numbered
-- @include json
-- @include attempts
-- @include status

local retry = e .. 'retry'

-- Whether a member stands before the place of `head`: by bytes, as Redis orders members of one score. Lua's own `<`
-- goes by the locale.
local function stands_before(member, head)
  for i = 1, #head do
    local a, b = string.byte(member, i) or -1, string.byte(head, i)
    if a ~= b then return a < b end
  end
  return false
end

-- The member of this score that begins with `head`. Halving looks at few of them, however many there are and however
-- long.
local function find(due, head)
  local from = call('ZCOUNT', retry, '-inf', '(' .. due)
  local to = from + call('ZCOUNT', retry, due, due)
  local last = to
  while from < to do
    local middle = math.floor((from + to) / 2)
    if stands_before(call('ZRANGE', retry, middle, middle)[1], head) then from = middle + 1 else to = middle end
  end
  local member = from < last and call('ZRANGE', retry, from, from)[1]
  return member and string.sub(member, 1, #head) == head and member or nil
end

call('ZCARD', retry)
local n = 0
for i = 3, #ARGV, 2 do
  local member = find(ARGV[i], ARGV[i + 1] .. ' ')
  if member then
    n = n + call('ZREM', retry, member)
    local queue_bytes, error_bytes, at = string.match(member, '^%S+ %d+ (%d+) (%d+) ()')
    if at then
      local error_at = at + queue_bytes
      local raw = string.sub(member, error_at + error_bytes)
      call('DEL', job_key(string.sub(member, at, error_at - 1), raw))
      expire_status(raw)
    end
  end
end
return answer(tostring(n))
