-- name: append
WITH head AS (
  UPDATE log_head SET position = position + cardinality($2::int[]) WHERE shard = $1 RETURNING shard, position
), written AS (
  INSERT INTO command_log (shard, position, workspace_id, entry)
  SELECT $1, head.position - cardinality($2::int[]) + item.n, item.workspace_id, item.entry
  FROM head, unnest($2::int[], $3::bytea[]) WITH ORDINALITY AS item (workspace_id, entry, n)
)
SELECT position, pg_notify('kith_log', shard || ' ' || position) FROM head;

-- name: read
-- At most so many entries, and no more bytes than asked for but always the first.
SELECT position, workspace_id, entry FROM (
  SELECT position, workspace_id, entry, sum(octet_length(entry)) OVER (ORDER BY position) - octet_length(entry) AS before
  FROM command_log WHERE shard = $1 AND position > $2 ORDER BY position LIMIT $3
) entries WHERE before < $4 ORDER BY position;

-- name: load_heads
SELECT shard, position FROM log_head;

-- name: load_first
SELECT position FROM command_log WHERE shard = $1 ORDER BY position LIMIT 1;

-- name: trim
-- The oldest that are applied, as long as they are old enough: those behind them are younger.
DELETE FROM command_log WHERE shard = $1 AND position IN (
  SELECT position FROM (
    SELECT position, appended_at FROM command_log
    WHERE shard = $1 AND position <= (SELECT position FROM cursors WHERE shard = $1)
    ORDER BY position LIMIT $3
  ) oldest WHERE appended_at < $2
);

-- name: load_cursors
SELECT shard, position, schema_position FROM cursors;

-- name: load_installation
SELECT partitions, secret FROM installation;

-- name: load_place
SELECT log FROM installation;

-- name: hold_place
-- Where the log is. Waits for whoever is just moving it, and shows them that this process is there.
SELECT log FROM installation FOR SHARE;

-- name: settle_place
-- Of an installation that has none yet. Not in the table where more is applied than ever was there.
UPDATE installation SET log = $1 WHERE log IS NULL AND ($1::text <> 'postgresql' OR NOT EXISTS (
  SELECT FROM log_head AS h JOIN cursors AS c ON c.shard = h.shard WHERE c.position > h.position));

-- name: lock_place
SELECT log FROM installation FOR UPDATE;

-- name: list_running
-- Processes of Kith at work on this database, by what their connections are for.
SELECT DISTINCT application_name AS name FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND application_name IN ('kith reader', 'kith query', 'kith writer', 'kith worker') ORDER BY 1;

-- name: try_lock
-- Until the connection ends.
SELECT pg_try_advisory_lock($1::bigint);

-- name: list_behind
-- Shards that are not applied exactly up to the end of the table's log.
SELECT h.shard FROM log_head AS h JOIN cursors AS c ON c.shard = h.shard WHERE h.position <> c.position ORDER BY 1;

-- name: set_place
UPDATE installation SET log = $1;

-- name: end_table_at_cursors
-- The table's log goes on behind what is applied.
UPDATE log_head SET position = cursors.position FROM cursors WHERE cursors.shard = log_head.shard;

-- name: export_snapshot
SELECT pg_export_snapshot();

-- name: list_tables
SELECT relname::text AS name FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY 1;
