-- KEYS: records and claims. ARGV[3...]: operations. Answers {what is foreseen of the keys, {operation, position, head,
-- doubt} of each operation that is there}.
local operations = {}
for i = 3, #ARGV do
  local key = prefix .. 'o:' .. ARGV[i]
  local head = redis.call('HGET', key, 'head')
  if head then
    operations[#operations + 1] = {ARGV[i], redis.call('HGET', key, 'position') or '', head, ''}
  else
    local doubt = redis.call('GET', prefix .. 'd:' .. ARGV[i])
    if doubt then operations[#operations + 1] = {ARGV[i], '', '', doubt} end
  end
end
return {show_all(KEYS, 1), operations}
