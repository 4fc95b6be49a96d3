-- name: find_operation
SELECT id, type, status, position, resource, error::text AS error, result::text AS result, fingerprint, answer,
  actor::text AS actor,  created_at, applied_at
FROM operations
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND created_at >= $4 AND created_at < $5;

-- name: move_cursor
-- The compare-and-set that lets one writer only commit a batch; whoever waits hears of it with the commit.
-- With $4 the batch changes properties or the filters of lists: who has read them before reads them again.
UPDATE cursors SET position = $3, schema_position = CASE WHEN $4 THEN $3 ELSE schema_position END
WHERE shard = $1 AND position = $2
RETURNING pg_notify('kith_applied', shard || ' ' || position || ' ' || schema_position);
