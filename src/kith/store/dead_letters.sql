-- What the writer set aside, and what became of it when it was tried again.

-- name: insert_dead_letter
INSERT INTO dead_letters (shard, position, workspace_id, operation_id, entry, reason, set_aside_at, retry_of)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: count_dead_letters
-- Without those that failed again when they were retried: they say nothing about the writer that was not known.
SELECT count(*) FROM dead_letters WHERE shard = $1 AND position >= $2 AND position < $3 AND retry_of IS NULL;

-- name: find_retried
-- Whether a dead letter is still to be retried, and whether its operation ended as one that was set aside does.
SELECT d.retry_position IS NULL AS open, coalesce((
  SELECT o.status = 'REJECTED' AND o.error ->> 'code' = 'INTERNAL' FROM operations o
  WHERE o.shard = $1 AND o.workspace_id = $3 AND o.id = $4 AND o.created_at = $5
), false) AS was_set_aside
FROM dead_letters d WHERE d.shard = $1 AND d.position = $2;

-- name: delete_rejection
-- What takes the place of it follows in the same transaction.
DELETE FROM operations
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND created_at = $4
  AND status = 'REJECTED' AND error ->> 'code' = 'INTERNAL';

-- name: settle_by_operation
-- The retry at $3 is done: it ended as its operation did.
UPDATE dead_letters SET retry_position = $3, retried_at = $4, outcome = (
  SELECT status FROM operations WHERE shard = $1 AND workspace_id = $5 AND id = $6 AND created_at = $7
)
WHERE shard = $1 AND position = $2 AND retry_position IS NULL;

-- name: settle_as_set_aside
-- The retry at $3 failed again.
UPDATE dead_letters SET retry_position = $3, retried_at = $4, outcome = 'SET_ASIDE'
WHERE shard = $1 AND position = $2 AND retry_position IS NULL
RETURNING position;

-- name: load_set_aside
SELECT shard, position, operation_id IS NOT NULL AS has_operation FROM dead_letters;

-- name: list_dead_letters
-- Newest first, behind the one at ($5, $6) where there is such; with $4 only those that can be retried.
SELECT d.shard, d.position, d.workspace_id, w.name AS workspace, d.operation_id, d.reason, d.set_aside_at, d.retry_of,
  d.retried_at, d.retry_position, d.outcome
FROM dead_letters d LEFT JOIN workspaces w ON w.id = d.workspace_id
WHERE ($1::int IS NULL OR d.shard = $1)
  AND ($2::int IS NULL OR d.workspace_id = $2)
  AND ($3::timestamptz IS NULL OR d.set_aside_at >= $3)
  AND (NOT $4 OR d.retry_position IS NULL)
  AND ($6::bigint IS NULL OR (d.set_aside_at, d.shard, d.position) < (
    SELECT set_aside_at, shard, position FROM dead_letters WHERE shard = $5 AND position = $6
  ))
ORDER BY d.set_aside_at DESC, d.shard DESC, d.position DESC LIMIT $7;

-- name: get_dead_letters
-- Those at ($1, $2), in the order of the log.
SELECT d.shard, d.position, d.workspace_id, w.name AS workspace, d.operation_id, d.reason, d.set_aside_at, d.retry_of,
  d.retried_at, d.retry_position, d.outcome, d.entry
FROM dead_letters d LEFT JOIN workspaces w ON w.id = d.workspace_id
WHERE (d.shard, d.position) IN (SELECT * FROM unnest($1::int[], $2::bigint[]))
ORDER BY d.shard, d.position;
