-- Behind `numbered`: ARGV[3] is the number of a call that was under way when this one was sent, or "". Until that one
-- has run this one does nothing, or a lost call would be taken for one that ran, and what belongs in front would come
-- behind. Such calls have no answer to be kept.
if ARGV[3] ~= '' and ran < tonumber(ARGV[3]) then
  return 'early'
end
