-- name: find_operation
SELECT id, type, status, position, resource, error::text AS error, result::text AS result, fingerprint, answer,
  actor::text AS actor,  created_at, applied_at
FROM operations
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND created_at >= $4 AND created_at < $5;

-- name: list_outcomes
SELECT id, status, error ->> 'code' AS code, error ->> 'message' AS message FROM operations
WHERE shard = $1 AND workspace_id = $2 AND id = ANY ($3::text[]);

-- name: move_cursor
-- The compare-and-set that lets one writer only commit a batch; whoever waits hears of it with the commit.
-- With $4 the batch changes properties or lists at that position: processes that have read them read them again.
UPDATE cursors SET position = $3, schema_position = coalesce($4::bigint, schema_position)
WHERE shard = $1 AND position = $2
RETURNING pg_notify('kith_applied', shard || ' ' || position || ' ' || schema_position);
