-- One element of a list, each of its bytes as the Unicode character of that number: so bytes that are not UTF-8 survive
-- the way through text. Only reads.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     list (without the namespace), index
-- Returns  the text, or false
local p = string.sub(KEYS[1], 1, -5)
local element = redis.call('LINDEX', p .. ARGV[1], ARGV[2])
if not element then
  return false
end
local high = {}
for byte = 128, 255 do
  high[string.char(byte)] = string.char(192 + math.floor(byte / 64), 128 + byte % 64)
end
return (string.gsub(element, '[\128-\255]', high))
