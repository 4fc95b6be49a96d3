-- Where the log is: 'postgresql', or 'kafka:' and the topic. NULL until the first process opens it. What was written to
-- the table is known to be there; of a topic the name is not known, so the first process that opens it tells.
ALTER TABLE installation ADD COLUMN log text COLLATE "C";
UPDATE installation SET log = 'postgresql'
WHERE EXISTS (SELECT FROM log_head WHERE position > 0)
  AND NOT EXISTS (SELECT FROM log_head h JOIN cursors c ON c.shard = h.shard WHERE c.position > h.position);
