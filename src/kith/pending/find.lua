-- Begins every script that looks writes up. ARGV[1]: what the names of the workspace's keys begin with; ARGV[2]: the
-- position that the caller knows to be applied.
local prefix, applied = ARGV[1], ARGV[2]
-- A key of a record or a claim orders the writes on it: by position, unacknowledged ones behind, as they came.
local UNACKNOWLEDGED = 4000000000000000
-- The bytes of a seal, which stands before a value.
local MAC_BYTES = 16

-- The last write that the key has up to a score, and that is not gone.
local function find(key, ceiling)
  while true do
    local found = redis.call('ZREVRANGEBYSCORE', key, ceiling, '(' .. applied, 'LIMIT', 0, 1)[1]
    if not found or redis.call('EXISTS', prefix .. 'o:' .. found) == 1 then return found end
    redis.call('ZREM', key, found)
  end
end

local function show_write(shown, id, suffix)
  local key = prefix .. 'o:' .. id
  shown[#shown + 1] = id
  shown[#shown + 1] = redis.call('HGET', key, 'position') or ''
  shown[#shown + 1] = redis.call('HGET', key, suffix) or ''
end

-- {suffix, id, position, value} of the last write on a record or claim, and of the last acknowledged one behind it.
local function show(suffix)
  local key = prefix .. suffix
  local shown = {suffix}
  local last = find(key, '+inf')
  if last then
    show_write(shown, last, suffix)
    if shown[3] == '' then
      local acknowledged = find(key, '(' .. string.format('%.0f', UNACKNOWLEDGED))
      if acknowledged then show_write(shown, acknowledged, suffix) end
    end
  end
  return shown
end

-- What is foreseen of the keys, and of the records that are to hold the claims among them.
local function show_all(keys, first)
  local all = {}
  for i = first, #keys do
    local suffix = string.sub(keys[i], #prefix + 1)
    local shown = show(suffix)
    all[#all + 1] = shown
    if string.sub(suffix, 1, 2) == 'c:' then
      for place = 4, #shown, 3 do
        local holder = string.sub(shown[place], MAC_BYTES + 1)
        if holder ~= '' then all[#all + 1] = show('r:' .. holder) end
      end
    end
  end
  return all
end
