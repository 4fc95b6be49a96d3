-- name: lock_control
SELECT pg_advisory_xact_lock($1);

-- name: load_partitions
SELECT partitions FROM installation;

-- name: next_workspace_id
SELECT coalesce(max(id), 0) + 1 FROM workspaces;

-- name: insert_workspace
INSERT INTO workspaces (shard, id, name, timezone, settings, created_at)
VALUES ($1, $2, $3, $4, jsonb_build_object('strictProperties', $5::boolean), $6);

-- name: update_workspace
UPDATE workspaces
SET timezone = $2, settings = settings || jsonb_build_object('strictProperties', $3::boolean, 'quotas', $4::jsonb)
WHERE id = $1;

-- name: list_workspaces
SELECT shard, id, name, timezone, coalesce((settings ->> 'strictProperties')::boolean, false) AS strict_properties,
  coalesce(settings -> 'quotas', '{}')::text AS quotas
FROM workspaces ORDER BY id;

-- name: find_workspace_by_number
SELECT shard, id, name, timezone, coalesce((settings ->> 'strictProperties')::boolean, false) AS strict_properties,
  coalesce(settings -> 'quotas', '{}')::text AS quotas
FROM workspaces WHERE id = $1;

-- name: is_timezone
SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1);
