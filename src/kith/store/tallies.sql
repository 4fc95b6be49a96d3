-- name: save_tally
INSERT INTO tallies (shard, workspace_id, operation_id, position, done, total) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (shard, workspace_id, operation_id) DO UPDATE
SET position = excluded.position, done = excluded.done, total = excluded.total;

-- name: find_tally
SELECT done, total FROM tallies WHERE shard = $1 AND workspace_id = $2 AND operation_id = $3;

-- name: delete_tally
DELETE FROM tallies WHERE shard = $1 AND workspace_id = $2 AND operation_id = $3;

-- name: delete_ended_tallies
-- What a writer that was killed has left behind of operations that its successor has ended.
DELETE FROM tallies USING cursors WHERE cursors.shard = tallies.shard AND tallies.position <= cursors.position;
