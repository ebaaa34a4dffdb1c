-- Per-queue flow: `<started> <ended> <returned> <busy ms>`, rising for ever. A value of another form starts anew.
local function add_flow(value, started, ended, returned, busy)
  local s, d, r, b = string.match(value or '', '^(%d+) (%d+) (%d+) (%d+)$')
  return string.format('%d %d %d %d', (tonumber(s) or 0) + started, (tonumber(d) or 0) + ended, (tonumber(r) or 0) + returned, (tonumber(b) or 0) + busy)
end
