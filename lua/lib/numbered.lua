-- Calls of one client are numbered: ARGV[1] is the client's nonce, ARGV[2] the number. A number at or below the one
-- stored has run before: it does nothing again and answers as it did then. `<number>` or `<number> <answer>` is stored.
-- How long the last answer to a client is kept.
local KEPT_MS = 600000
local client_key, number, ran = e .. 'client:' .. ARGV[1], ARGV[2], 0
local before = redis.call('GET', client_key)
if before then
  local space = string.find(before, ' ', 1, true)
  ran = tonumber(space and string.sub(before, 1, space - 1) or before)
  if tonumber(number) <= ran then
    -- A write: since Redis 7.2 a WAIT behind it would wait for nothing otherwise, the first sending having been on
    -- another connection.
    redis.pcall('PEXPIRE', client_key, KEPT_MS)
    return space and string.sub(before, space + 1) or ''
  end
end

-- A refusal comes too late: told of it, the caller would do all of it once more.
local function answer(text)
  redis.pcall('SET', client_key, text and number .. ' ' .. text or number, 'PX', KEPT_MS)
  return text or ''
end

-- First write of scripts that free or move memory: one that Redis lets through when it is full, and then all that
-- follow.
local function also_when_full()
  redis.call('PEXPIRE', client_key, KEPT_MS)
end
