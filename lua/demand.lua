-- What a scaler needs to know of some queues: one look that writes nothing and is bounded whatever lies in Redis. Keys
-- of an unexpected type count as empty.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     bytes returned of a head, largest head looked at, bytes of heads looked at in all,
--          how far ahead to look for jobs that come due (ms), most delayed items and retries looked at (each),
--          then the queues
-- Returns  {ms, pause-all-workers or "", paused queues as JSON or "", known queues, registrations, processes,
--           number of rows behind: place of a queue in the list, length, flow or "", bytes of its head or -1, end of the head, …
--            with each queue that holds jobs or ever had a flow,
--           due ms, queue, jobs, … with what comes due until then, or is due already}
-- @include base
-- @include json
-- @include lenient

local tail_bytes, largest, budget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local until_ms, most, first = now + tonumber(ARGV[4]), tonumber(ARGV[5]), 6

local reply = {
  int(now), text(p .. 'pause-all-workers'), text(e .. 'paused'), number('SCARD', p .. 'queues'), number('SCARD', p .. 'workers'),
  number('HLEN', e .. 'processes'), 0,
}
local n, rows = #reply, 0
for i = first, #ARGV do
  local key = p .. 'queue:' .. ARGV[i]
  local length, flow = number('LLEN', key), text(e .. 'flow:' .. ARGV[i])
  if length > 0 or flow ~= '' then
    local size, tail = -1, ''
    -- MEMORY USAGE multiplies what the head's node takes with the number of nodes: a long head shows without being
    -- read.
    local bytes = length > 0 and budget > 0 and pcall_('MEMORY', 'USAGE', key, 'SAMPLES', 1)
    if type(bytes) == 'number' and bytes / length <= largest then
      local head = pcall_('LINDEX', key, 0)
      if type(head) == 'string' then
        size, tail, budget = #head, string.sub(head, -tail_bytes), budget - #head
      end
    end
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4], reply[n + 5] = i - first + 1, length, flow, size, tail
    n, rows = n + 5, rows + 1
  end
end
reply[7] = rows

local function due(ms, queue, jobs)
  reply[n + 1], reply[n + 2], reply[n + 3] = int(ms), queue, jobs
  n = n + 3
end

-- The queue stands inside a delayed item. Where a second holds more items than are looked at, the rest is taken to be
-- spread over queues as those are.
local left = most
local seconds = pcall_('ZRANGEBYSCORE', p .. 'delayed_queue_schedule', '-inf', int(math.floor(until_ms / 1000)), 'LIMIT', 0, most)
for i = 1, seconds.err and 0 or #seconds do
  if left <= 0 then break end
  local list = p .. 'delayed:' .. seconds[i]
  local length, counts, looked = number('LLEN', list), {}, 0
  local items = length > 0 and pcall_('LRANGE', list, 0, math.min(left, 20) - 1) or {}
  for j = 1, items.err and 0 or #items do
    local item = #items[j] <= 16384 and decode(items[j])
    local queue = item and type(item.queue) == 'string' and item.queue or string.match(string.sub(items[j], -512), '"queue":"([^"\\]+)"')
    if queue then counts[queue] = (counts[queue] or 0) + 1 end
    looked = looked + 1
  end
  left = left - math.max(looked, 1)
  for queue, count in pairs(counts) do
    due((tonumber(seconds[i]) or 0) * 1000, queue, math.ceil(count * length / looked))
  end
end

local retries = pcall_('ZRANGEBYSCORE', e .. 'retry', '-inf', int(until_ms), 'WITHSCORES', 'LIMIT', 0, most)
for i = 1, retries.err and 0 or #retries, 2 do
  local length, at = string.match(retries[i], '^%S+ %d+ (%d+) %d+ ()')
  if length then due(tonumber(retries[i + 1]), string.sub(retries[i], at, at + tonumber(length) - 1), 1) end
end
return reply
