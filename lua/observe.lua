-- What /metrics shows of the queue system: one look that writes nothing and is bounded whatever lies in Redis. Keys of
-- an unexpected type count as empty.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     most queues shown, bytes returned of a head, bytes of heads looked at in all, most members of a set looked at,
--          number of known heads, then each: place of its queue in the list and its flow as it was;
--          then the keys of the queues' lists
-- Returns  {ms, pause-all-workers or "", paused queues as JSON or "", failed, retry, quarantined, delayed timestamps,
--           registrations, busy ones, stat:processed or "", stat:failed or "", ms for which the first retry and the first
--           delayed timestamp have been due, jobs in queues not shown,
--           place, length, flow or "", bytes of the head, end of the head, …} with each queue shown that is not empty, in
--          the order of the list. The bytes are -1 where the head was not looked at: known and its queue's flow unchanged,
--          huge, or the bytes for heads used up.
-- @include base
-- @include lenient

local most, tail_bytes, head_budget, most_members = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known, first = {}, 6 + 2 * tonumber(ARGV[5])
for i = 6, first - 1, 2 do
  known[tonumber(ARGV[i])] = ARGV[i + 1]
end

-- Calls `each` with up to `size` keys at a time.
local function in_chunks(total, size, key, each)
  for from = 1, total, size do
    local keys, to = {}, math.min(from + size - 1, total)
    for i = from, to do
      keys[#keys + 1] = key(i)
    end
    each(from, to, keys)
  end
end

local argv, queue_prefix = ARGV, #p + 7
local places, lengths = {}, {}
for i = first, #argv do
  local length = pcall_('LLEN', argv[i])
  if length ~= 0 and type(length) == 'number' then
    places[#places + 1] = i - first + 1
    lengths[#lengths + 1] = length
  end
end

-- The largest ones, where there are too many.
local other = 0
if #places > most then
  local sorted = {}
  for i = 1, #lengths do sorted[i] = lengths[i] end
  table.sort(sorted)
  local least, larger = sorted[#sorted - most + 1], 0
  for i = 1, #lengths do
    if lengths[i] > least then larger = larger + 1 end
  end
  local equal, kept_places, kept_lengths = most - larger, {}, {}
  for i = 1, #lengths do
    local fits = lengths[i] > least
    if lengths[i] == least and equal > 0 then
      equal, fits = equal - 1, true
    end
    if fits then
      kept_places[#kept_places + 1], kept_lengths[#kept_lengths + 1] = places[i], lengths[i]
    else
      other = other + lengths[i]
    end
  end
  places, lengths = kept_places, kept_lengths
end

-- Registrations: all of them, or as many drawn at random, from whom the share of busy ones is taken.
local registered, found, busy = number('SCARD', p .. 'workers'), 0, 0
if registered > 0 then
  local ids = call('SRANDMEMBER', p .. 'workers', most_members)
  found = #ids
  in_chunks(found, 64, function(i) return p .. 'worker:' .. ids[i] end, function(_, _, keys)
    busy = busy + call('EXISTS', unpack(keys))
  end)
  busy = math.floor(busy * registered / found + 0.5)
end

local failed = number('LLEN', p .. 'failed')
if number('SCARD', p .. 'failed_queues') > 0 then
  local lists = call('SRANDMEMBER', p .. 'failed_queues', most_members)
  for i = 1, #lists do
    failed = failed + number('LLEN', p .. lists[i])
  end
end

-- Whether a list's head may have many megabytes, which would hold Redis up for long. MEMORY USAGE multiplies what the
-- head's node takes with the number of nodes; one node has at most some hundred jobs, and a usual one 8 KiB.
local function huge(key, length)
  local bytes = pcall_('MEMORY', 'USAGE', key, 'SAMPLES', 1)
  return type(bytes) == 'number' and bytes > 4194304 and bytes / length > 32768
end

-- For how long the first member of a sorted set of due times has been due; 0 where none is.
local function overdue(key, unit)
  local first = pcall_('ZRANGE', key, 0, 0, 'WITHSCORES')
  local due = (tonumber(first[2]) or now) * unit
  return due > 0 and due < now and now - due or 0
end

local reply = {
  int(now), text(p .. 'pause-all-workers'), text(e .. 'paused'), int(failed), number('ZCARD', e .. 'retry'),
  number('LLEN', e .. 'quarantine'), number('ZCARD', p .. 'delayed_queue_schedule'), registered, busy,
  text(p .. 'stat:processed'), text(p .. 'stat:failed'), int(overdue(e .. 'retry', 1)),
  int(overdue(p .. 'delayed_queue_schedule', 1000)), int(other),
}
local n = #reply
in_chunks(#places, 64, function(i) return e .. 'flow:' .. string.sub(argv[first + places[i] - 1], queue_prefix) end, function(from, to, keys)
  local flows = call('MGET', unpack(keys))
  for i = from, to do
    local place, flow, size, tail = places[i], flows[i - from + 1] or '', -1, ''
    local list = argv[first + place - 1]
    if known[place] ~= flow and head_budget > 0 and not huge(list, lengths[i]) then
      local head = pcall_('LINDEX', list, 0)
      if type(head) == 'string' then
        size, tail = #head, string.sub(head, -tail_bytes)
        head_budget = head_budget - size
      end
    end
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4], reply[n + 5] = place, lengths[i], flow, size, tail
    n = n + 5
  end
end)
return reply
