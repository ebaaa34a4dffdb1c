-- Puts one element into quarantine.
--
-- KEYS[1]  <namespace>ext:
-- ARGV     client nonce, call number, queue, element
-- Returns  ""
-- @include base
-- @include numbered
-- @include append

call('LLEN', e .. 'quarantine')
quarantine(ARGV[3], ARGV[4])
return answer()
