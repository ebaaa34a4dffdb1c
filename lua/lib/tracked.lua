-- The status *waiting* of the tracked jobs: `n_tracked` names, from ARGV[at] on. They are enqueued already: a refusal
-- comes too late.
if n_tracked > 0 then
  local clock = call('TIME')
-- @include status_value
  local waiting = status_value(1, nil, 'null')
  for i = at, at + n_tracked - 1 do
    redis.pcall('SET', p .. 'job:' .. ARGV[i] .. ':status', waiting)
  end
end
