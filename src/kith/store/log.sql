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
