-- One look for processes whose lease has lapsed. A process is named only when two looks at least two seconds apart
-- missed its lease. Where looks were more than five seconds apart (Redis was away, its clock stepped, every worker
-- slept), leases may have lapsed without anybody being dead: suspicions are cleared and nobody is named for six
-- seconds.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     least ms between looks, most ms between looks, ms of holding after a gap
-- Returns  nonces to release, at most 1000; empty where another worker looked just now
-- @include base

local least, most, hold = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local last, held_until = string.match(call('GET', e .. 'look') or '', '^(%d+) (%d+)$')
last, held_until = tonumber(last) or 0, tonumber(held_until) or 0
if now >= last and now - last < least then
  return {}
end
local gap = now - last > most or now < last
if gap then
  held_until = now + hold
end
-- First of all a write that Redis refuses when it is full: then leases may lapse unrenewed, and nobody is reaped.
call('SET', e .. 'look', int(now) .. ' ' .. int(held_until))
if gap then
  call('DEL', e .. 'suspects')
end

local dead, cursor, rounds = {}, '0', 0
repeat
  local page = call('HSCAN', e .. 'processes', cursor, 'COUNT', 500)
  cursor, rounds = page[1], rounds + 1
  local nonces, leases = {}, {}
  for i = 1, #page[2], 2 do
    nonces[#nonces + 1] = page[2][i]
    leases[#leases + 1] = e .. 'lease:' .. page[2][i]
  end
  if #nonces > 0 then
    local alive, since = call('MGET', unpack(leases)), call('HMGET', e .. 'suspects', unpack(nonces))
    for i = 1, #nonces do
      local seen = tonumber(since[i] or nil)
      if alive[i] then
        if seen then call('HDEL', e .. 'suspects', nonces[i]) end
      elseif not seen then
        call('HSET', e .. 'suspects', nonces[i], int(now))
      elseif now >= held_until and now - seen >= least and #dead < 1000 then
        dead[#dead + 1] = nonces[i]
      end
    end
  end
until cursor == '0' or rounds >= 20
return dead
