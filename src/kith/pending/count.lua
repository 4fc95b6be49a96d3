-- KEYS: a counter. ARGV: how long it lives in milliseconds. Answers how often it was counted, this time included.
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return count
