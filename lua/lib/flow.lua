-- Per-queue flow: `<started> <ended> <returned> <busy ms>`, rising for ever. A value of another form starts anew.
local function add_flow(value, started, ended, returned, busy)
  local s, d, r, b = string.match(value or '', '^(%d+) (%d+) (%d+) (%d+)$')
  return int((tonumber(s) or 0) + started) .. ' ' .. int((tonumber(d) or 0) + ended) .. ' '
    .. int((tonumber(r) or 0) + returned) .. ' ' .. int((tonumber(b) or 0) + busy)
end
