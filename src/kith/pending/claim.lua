-- KEYS: the write, the counter of the unacknowledged, then records and claims. ARGV[3...]: the operation, its position or
-- '', its head, how long it lives and how long the keys live in milliseconds, '1' to compare, its sealed position or '';
-- then for each key: the two writes of which one has to be its last ('' for none), '1' where the write moves it, and what
-- it becomes.
local id, position, head, lease, life, compares = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8] == '1'
local sealed, first = ARGV[9], 10
if redis.call('EXISTS', KEYS[1]) == 1 then
  if position ~= '' and redis.call('HGET', KEYS[1], 'position') == '' then
    redis.call('HSET', KEYS[1], 'position', sealed)
    redis.call('PEXPIRE', KEYS[1], life)
    for i = 3, #KEYS do
      redis.call('ZADD', KEYS[i], 'XX', position, id)
      redis.call('PEXPIRE', KEYS[i], life)
    end
  end
  return {'there'}
end
if compares then
  for i = 3, #KEYS do
    local at = first + (i - 3) * 4
    local last = find(KEYS[i], '+inf') or ''
    if last ~= ARGV[at] and last ~= ARGV[at + 1] then return {'moved', show_all(KEYS, 3)} end
  end
end
redis.call('HSET', KEYS[1], 'head', head, 'position', sealed)
local score = position
if position == '' then
  score = string.format('%.0f', UNACKNOWLEDGED + redis.call('INCR', KEYS[2]))
  redis.call('PEXPIRE', KEYS[2], life)
end
for i = 3, #KEYS do
  local at = first + (i - 3) * 4
  if ARGV[at + 2] == '1' then
    redis.call('HSET', KEYS[1], string.sub(KEYS[i], #prefix + 1), ARGV[at + 3])
    redis.call('ZADD', KEYS[i], score, id)
    redis.call('PEXPIRE', KEYS[i], life)
    -- Of those that are gone, more go than come.
    for _, old in ipairs(redis.call('ZRANGE', KEYS[i], 0, 3)) do
      if redis.call('EXISTS', prefix .. 'o:' .. old) == 0 then redis.call('ZREM', KEYS[i], old) end
    end
  end
end
redis.call('PEXPIRE', KEYS[1], lease)
return {'taken'}
