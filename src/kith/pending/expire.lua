-- KEYS: writes of a workspace. ARGV: in how many milliseconds they go.
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1]) end
return #KEYS
