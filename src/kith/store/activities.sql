-- name: insert_activities
INSERT INTO activities (shard, workspace_id, id, external_id, contact_id, type, module, content, properties,
  occurred_at, created_at)
SELECT $1, workspace_id, number, external_id, contact_number, type, module, content, properties, occurred_at,
  created_at
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, external_id text, contact_number bigint,
  type text, module text, content text, properties jsonb, occurred_at timestamptz, created_at timestamptz);

-- name: save_merges
-- The sides as they were, and the activities that come over: written down before they move.
INSERT INTO merges (shard, workspace_id, loser_id, winner_id, at, moved)
SELECT $1, row.workspace_id, row.loser, row.winner, row.at, jsonb_set(row.moved, '{activities}', coalesce((
  SELECT jsonb_agg(a.id ORDER BY a.id) FROM activities a
  WHERE a.shard = $1 AND a.workspace_id = row.workspace_id AND a.contact_id = row.loser), '[]'))
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, loser bigint, winner bigint, at timestamptz, moved jsonb);

-- name: move_activities
UPDATE activities SET contact_id = row.target
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, loser bigint, target bigint)
WHERE activities.shard = $1 AND activities.workspace_id = row.workspace_id AND activities.contact_id = row.loser;
