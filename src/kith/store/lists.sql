-- name: load_lists
-- One JSON document for each list named by external id or number. Arrays and OFFSETs as in load_contacts.
WITH found AS (
  SELECT l.* FROM unnest($2::int[], $3::text[]) AS wanted (workspace_id, external_id) CROSS JOIN LATERAL (
    SELECT * FROM lists l
    WHERE l.shard = $1 AND l.workspace_id = wanted.workspace_id AND l.external_id = wanted.external_id OFFSET 0) l
  UNION ALL
  SELECT l.* FROM unnest($4::int[], $5::bigint[]) AS wanted (workspace_id, id) CROSS JOIN LATERAL (
    SELECT * FROM lists l
    WHERE l.shard = $1 AND l.workspace_id = wanted.workspace_id AND l.id = wanted.id OFFSET 0) l
)
SELECT workspace_id, json_build_object(
  'external_id', external_id, 'number', id, 'name', name, 'description', description, 'entity_type', entity_type,
  'is_dynamic', is_dynamic, 'filter_criteria', filter_criteria, 'member_count', member_count,
  'evaluated_at', evaluated_at, 'created_at', created_at, 'updated_at', updated_at, 'version', version,
  'filter', filter, 'timezone', timezone, 'status', status, 'reason', reason,
  'text_conditions', text_conditions
  )::text AS document
FROM found;

-- name: insert_lists
INSERT INTO lists (shard, workspace_id, id, external_id, name, name_key, description, entity_type, is_dynamic,
  filter_criteria, member_count, evaluated_at, created_at, updated_at, version, filter, timezone, status, reason,
  text_conditions)
SELECT $1, workspace_id, number, external_id, name, name_key, description, entity_type, is_dynamic,
  nullif(filter_criteria, 'null'), 0, evaluated_at, created_at, updated_at, version, filter, timezone, status, reason,
  text_conditions
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, external_id text, name text,
  name_key text, description text, entity_type text, is_dynamic boolean, filter_criteria jsonb,
  evaluated_at timestamptz, created_at timestamptz, updated_at timestamptz, version int, filter text, timezone text,
  status text, reason text, text_conditions int);

-- name: update_lists
UPDATE lists SET name = row.name, name_key = row.name_key, description = row.description,
  filter_criteria = nullif(row.filter_criteria, 'null'), evaluated_at = row.evaluated_at, updated_at = row.updated_at,
  version = row.version, filter = row.filter, timezone = row.timezone, status = row.status, reason = row.reason,
  text_conditions = row.text_conditions
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, name text, name_key text,
  description text, filter_criteria jsonb, evaluated_at timestamptz, updated_at timestamptz, version int,
  filter text, timezone text, status text, reason text, text_conditions int)
WHERE lists.shard = $1 AND lists.workspace_id = row.workspace_id AND lists.id = row.number;

-- name: delete_lists
-- With their members, however many.
WITH row AS (
  SELECT * FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint)
), gone AS (
  DELETE FROM list_members USING row
  WHERE list_members.shard = $1 AND list_members.workspace_id = row.workspace_id
    AND list_members.list_id = row.number
)
DELETE FROM lists USING row
WHERE lists.shard = $1 AND lists.workspace_id = row.workspace_id AND lists.id = row.number;

-- name: add_list_counts
UPDATE lists SET member_count = member_count + row.count
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, count bigint)
WHERE lists.shard = $1 AND lists.workspace_id = row.workspace_id AND lists.id = row.number;

-- name: delete_members
DELETE FROM list_members USING jsonb_to_recordset($2::jsonb) AS row (workspace_id int, entity text, record bigint,
  list bigint)
WHERE list_members.shard = $1 AND list_members.workspace_id = row.workspace_id
  AND list_members.entity = row.entity AND list_members.record_id = row.record AND list_members.list_id = row.list;

-- name: insert_members
-- Of lists that are still there, as insert_taggings.
INSERT INTO list_members (shard, workspace_id, list_id, entity, record_id, created_at)
SELECT $1, row.workspace_id, l.id, row.entity, row.record, row.created_at
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, entity text, record bigint, list bigint,
  created_at timestamptz)
CROSS JOIN LATERAL (
  SELECT l.id FROM lists l WHERE l.shard = $1 AND l.workspace_id = row.workspace_id AND l.id = row.list OFFSET 0) l
ON CONFLICT DO NOTHING;

-- name: list_list_names
SELECT id, name FROM lists WHERE shard = $1 AND workspace_id = $2 ORDER BY created_at DESC, id DESC LIMIT $3;

-- name: find_lists
SELECT id, external_id, is_dynamic, member_count FROM lists WHERE shard = $1 AND workspace_id = $2 AND id = ANY ($3::bigint[])
UNION
SELECT id, external_id, is_dynamic, member_count FROM lists WHERE shard = $1 AND workspace_id = $2 AND external_id = ANY ($4::text[]);

-- name: load_dynamic_lists
-- Those of the workspaces that have a filter, BROKEN ones too. No document where $3 has the same version and status.
SELECT l.workspace_id, l.id AS number, CASE WHEN known.number IS NULL THEN json_build_object(
  'workspace_id', l.workspace_id, 'number', id, 'external_id', external_id, 'name', name,
  'entity', lower(entity_type), 'filter_criteria', filter_criteria, 'timezone', timezone, 'status', l.status,
  'version', l.version)::text END AS document
FROM lists l
LEFT JOIN jsonb_to_recordset($3::jsonb) AS known (workspace_id int, number bigint, version int, status text)
  ON known.workspace_id = l.workspace_id AND known.number = l.id AND known.version = l.version
    AND known.status = l.status
WHERE l.shard = $1 AND l.workspace_id = ANY ($2::int[]) AND l.is_dynamic AND l.filter_criteria IS NOT NULL
ORDER BY l.workspace_id, l.id;

-- name: mark_lists
-- What became of filters when a property changed.
UPDATE lists SET status = row.status, reason = row.reason
FROM jsonb_to_recordset($3::jsonb) AS row (number bigint, status text, reason text)
WHERE lists.shard = $1 AND lists.workspace_id = $2 AND lists.id = row.number;

-- name: load_last_ids
-- The last id of each entity: how far an evaluation has to go.
SELECT coalesce((SELECT max(id) FROM contacts WHERE shard = $1 AND workspace_id = $2), 0) AS contact,
  coalesce((SELECT max(id) FROM companies WHERE shard = $1 AND workspace_id = $2), 0) AS company;

-- name: find_member_count
SELECT member_count FROM lists WHERE shard = $1 AND workspace_id = $2 AND id = $3;

-- name: list_timed
-- Workspaces with dynamic lists whose filters may depend on the time, by the words that do.
SELECT DISTINCT shard, workspace_id FROM lists
WHERE is_dynamic AND status = 'ACTIVE' AND filter ~ '(now|today|yesterday|tomorrow|startOf)';

-- name: break_lists
-- Lists that take too long, as of the command at $2; a replay breaks the same ones there.
WITH kept AS (
  INSERT INTO broken_lists (shard, position, workspace_id, list_id, reason, broken_at)
  SELECT $1, $2, row.workspace_id, row.number, row.reason, $4
  FROM jsonb_to_recordset($3::jsonb) AS row (workspace_id int, number bigint, reason text)
)
UPDATE lists SET status = 'BROKEN', reason = row.reason
FROM jsonb_to_recordset($3::jsonb) AS row (workspace_id int, number bigint, reason text)
WHERE lists.shard = $1 AND lists.workspace_id = row.workspace_id AND lists.id = row.number;

-- name: load_broken_lists
SELECT shard, position, workspace_id, list_id AS number, reason FROM broken_lists;

-- name: limit_statements
-- For the rest of the transaction.
SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true);
