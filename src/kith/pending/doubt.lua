-- KEYS: the write, its doubt. ARGV: the doubt, how long it lives in milliseconds.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
