-- name: load_tags
-- One JSON document for each tag named by external id, number or key. Arrays and OFFSETs as in load_contacts.
WITH found AS (
  SELECT t.* FROM unnest($2::int[], $3::text[]) AS wanted (workspace_id, external_id) CROSS JOIN LATERAL (
    SELECT * FROM tags t
    WHERE t.shard = $1 AND t.workspace_id = wanted.workspace_id AND t.external_id = wanted.external_id OFFSET 0) t
  UNION ALL
  SELECT t.* FROM unnest($4::int[], $5::bigint[]) AS wanted (workspace_id, id) CROSS JOIN LATERAL (
    SELECT * FROM tags t
    WHERE t.shard = $1 AND t.workspace_id = wanted.workspace_id AND t.id = wanted.id OFFSET 0) t
  UNION ALL
  SELECT t.* FROM unnest($6::int[], $7::text[]) AS wanted (workspace_id, key) CROSS JOIN LATERAL (
    SELECT * FROM tags t
    WHERE t.shard = $1 AND t.workspace_id = wanted.workspace_id AND t.key = wanted.key OFFSET 0) t
)
SELECT workspace_id, json_build_object(
  'external_id', external_id, 'number', id, 'key', key, 'name', name, 'description', description, 'color', color,
  'contact_count', contact_count, 'created_at', created_at, 'updated_at', updated_at, 'version', version
  )::text AS document
FROM found;

-- name: insert_tags
INSERT INTO tags (shard, workspace_id, id, external_id, key, name, name_key, description, color, contact_count,
  created_at, updated_at, version)
SELECT $1, workspace_id, number, external_id, key, name, name_key, description, color, 0, created_at, updated_at,
  version
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, external_id text, key text, name text,
  name_key text, description text, color text, created_at timestamptz, updated_at timestamptz, version int);

-- name: update_tags
UPDATE tags SET name = row.name, name_key = row.name_key, description = row.description, color = row.color,
  updated_at = row.updated_at, version = row.version
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, name text, name_key text,
  description text, color text, updated_at timestamptz, version int)
WHERE tags.shard = $1 AND tags.workspace_id = row.workspace_id AND tags.id = row.number;

-- name: delete_tags
-- With their taggings, however many.
WITH row AS (
  SELECT * FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint)
), gone AS (
  DELETE FROM taggings USING row
  WHERE taggings.shard = $1 AND taggings.workspace_id = row.workspace_id AND taggings.tag_id = row.number
)
DELETE FROM tags USING row
WHERE tags.shard = $1 AND tags.workspace_id = row.workspace_id AND tags.id = row.number;

-- name: add_tag_counts
UPDATE tags SET contact_count = contact_count + row.contacts, company_count = company_count + row.companies
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, contacts bigint, companies bigint)
WHERE tags.shard = $1 AND tags.workspace_id = row.workspace_id AND tags.id = row.number;

-- name: delete_taggings
DELETE FROM taggings USING jsonb_to_recordset($2::jsonb) AS row (workspace_id int, entity text, record bigint,
  tag bigint)
WHERE taggings.shard = $1 AND taggings.workspace_id = row.workspace_id AND taggings.entity = row.entity
  AND taggings.record_id = row.record AND taggings.tag_id = row.tag;

-- name: insert_taggings
-- Of tags that are still there: a merge may carry one over that the same batch deletes.
INSERT INTO taggings (shard, workspace_id, entity, record_id, tag_id, created_at)
SELECT $1, row.workspace_id, row.entity, row.record, t.id, row.created_at
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, entity text, record bigint, tag bigint,
  created_at timestamptz)
CROSS JOIN LATERAL (
  SELECT t.id FROM tags t WHERE t.shard = $1 AND t.workspace_id = row.workspace_id AND t.id = row.tag OFFSET 0) t
ON CONFLICT DO NOTHING;

-- name: list_tag_keys
SELECT key, external_id FROM tags WHERE shard = $1 AND workspace_id = $2 ORDER BY key LIMIT $3;

-- name: find_tag_ids
SELECT id, key, contact_count + company_count AS member_count FROM tags WHERE shard = $1 AND workspace_id = $2 AND key = ANY ($3::text[]);
