-- name: find_operation
SELECT id, type, status, position, resource, error::text AS error, result::text AS result, fingerprint, answer,
  created_at, applied_at
FROM operations
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND created_at >= $4 AND created_at < $5;

-- name: load_operations
-- Which of these operations are known. The OFFSET keeps the planner from turning the join round while the day's
-- partition is young and it takes it for empty.
SELECT wanted.workspace_id, wanted.id
FROM unnest($2::int[], $3::text[]) AS wanted (workspace_id, id)
CROSS JOIN LATERAL (
  SELECT 1 FROM operations o
  WHERE o.shard = $1 AND o.workspace_id = wanted.workspace_id AND o.id = wanted.id
    AND o.created_at >= $4 AND o.created_at < $5
  OFFSET 0
) known;

-- name: insert_operations
INSERT INTO operations (shard, workspace_id, id, type, status, position, resource, error, result, fingerprint,
  answer, created_at, applied_at)
SELECT $1, workspace_id, id, type, status, position, resource, error, result, fingerprint, answer, created_at,
  applied_at
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, id text, type text, status text, position bigint,
  resource text, error jsonb, result jsonb, fingerprint text, answer text, created_at timestamptz, applied_at timestamptz);

-- name: insert_events
INSERT INTO events (shard, workspace_id, sequence, type, resource, operation_id, at, data)
SELECT $1, workspace_id, sequence, type, resource, operation_id, at, data
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, sequence bigint, type text, resource text,
  operation_id text, at timestamptz, data jsonb);

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
