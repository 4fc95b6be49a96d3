-- KEYS: the write, its doubt, the records and claims that it moves. ARGV: the operation, its position, how long it lives
-- in milliseconds, its sealed position. Answers 0 where the write is not there any more.
redis.call('DEL', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'position', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
for i = 3, #KEYS do
  redis.call('ZADD', KEYS[i], 'XX', ARGV[2], ARGV[1])
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return 1
