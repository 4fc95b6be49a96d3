-- name: find_operation
SELECT id, type, status, position, resource, error::text AS error, result::text AS result, fingerprint, answer,
  created_at, applied_at
FROM operations
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND created_at >= $4 AND created_at < $5;

-- name: insert_dead_letter
INSERT INTO dead_letters (shard, position, workspace_id, operation_id, entry, reason) VALUES ($1, $2, $3, $4, $5, $6);

-- name: count_dead_letters
SELECT count(*) FROM dead_letters WHERE shard = $1 AND position >= $2 AND position < $3;

-- name: move_cursor
-- The compare-and-set that lets one writer only commit a batch; whoever waits hears of it with the commit.
-- With $4 the batch changes properties: who has read them before reads them again.
UPDATE cursors SET position = $3, schema_position = CASE WHEN $4 THEN $3 ELSE schema_position END
WHERE shard = $1 AND position = $2
RETURNING pg_notify('kith_applied', shard || ' ' || position || ' ' || schema_position);
