-- name: load_properties
-- One JSON document for each property named by external id or number. Arrays and OFFSETs as in load_contacts.
WITH found AS (
  SELECT p.* FROM unnest($2::int[], $3::text[]) AS wanted (workspace_id, external_id) CROSS JOIN LATERAL (
    SELECT * FROM properties p
    WHERE p.shard = $1 AND p.workspace_id = wanted.workspace_id AND p.external_id = wanted.external_id OFFSET 0) p
  UNION ALL
  SELECT p.* FROM unnest($4::int[], $5::bigint[]) AS wanted (workspace_id, id) CROSS JOIN LATERAL (
    SELECT * FROM properties p
    WHERE p.shard = $1 AND p.workspace_id = wanted.workspace_id AND p.id = wanted.id OFFSET 0) p
)
SELECT workspace_id, json_build_object(
  'external_id', external_id, 'number', id, 'entity', entity, 'key', key, 'label', label, 'type', type,
  'group', property_group, 'description', description, 'is_required', is_required, 'is_system', is_system,
  'is_indexed', is_indexed, 'options', options, 'status', status, 'created_at', created_at,
  'updated_at', updated_at, 'version', version
  )::text AS document
FROM found;

-- name: load_schemas
-- All properties of the (workspace, entity) pairs, as documents like those of load_properties.
SELECT p.workspace_id, p.entity, json_agg(json_build_object(
  'external_id', p.external_id, 'number', p.id, 'entity', p.entity, 'key', p.key, 'label', p.label, 'type', p.type,
  'group', p.property_group, 'description', p.description, 'is_required', p.is_required, 'is_system', p.is_system,
  'is_indexed', p.is_indexed, 'options', p.options, 'status', p.status, 'created_at', p.created_at,
  'updated_at', p.updated_at, 'version', p.version) ORDER BY p.id)::text AS documents
FROM unnest($2::int[], $3::text[]) AS wanted (workspace_id, entity) CROSS JOIN LATERAL (
  SELECT * FROM properties p
  WHERE p.shard = $1 AND p.workspace_id = wanted.workspace_id AND p.entity = wanted.entity OFFSET 0) p
GROUP BY p.workspace_id, p.entity;

-- name: insert_properties
INSERT INTO properties (shard, workspace_id, id, external_id, entity, key, label, type, property_group, description,
  is_required, is_system, is_indexed, options, status, created_at, updated_at, version)
SELECT $1, workspace_id, number, external_id, entity, key, label, type, "group", description, is_required, is_system,
  is_indexed, options, status, created_at, updated_at, version
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, external_id text, entity text, key text,
  label text, type text, "group" text, description text, is_required boolean, is_system boolean, is_indexed boolean,
  options jsonb, status text, created_at timestamptz, updated_at timestamptz, version int);

-- name: update_properties
UPDATE properties SET label = row.label, type = row.type, property_group = row."group",
  description = row.description, is_required = row.is_required, is_indexed = row.is_indexed, options = row.options,
  status = row.status, updated_at = row.updated_at, version = row.version
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, label text, type text, "group" text,
  description text, is_required boolean, is_indexed boolean, options jsonb, status text, updated_at timestamptz,
  version int)
WHERE properties.shard = $1 AND properties.workspace_id = row.workspace_id AND properties.id = row.number;

-- name: save_system_properties
INSERT INTO system_properties (id, external_id, entity, key, label, type, property_group, description, is_required,
  is_system, is_indexed, options, status, created_at, updated_at, version)
SELECT number, external_id, entity, key, label, type, "group", description, is_required, is_system, is_indexed,
  options, status, created_at, updated_at, version
FROM jsonb_to_recordset($1::jsonb) AS row (number bigint, external_id text, entity text, key text, label text,
  type text, "group" text, description text, is_required boolean, is_system boolean, is_indexed boolean,
  options jsonb, status text, created_at timestamptz, updated_at timestamptz, version int)
ON CONFLICT (id) DO UPDATE SET external_id = excluded.external_id, entity = excluded.entity, key = excluded.key,
  label = excluded.label, type = excluded.type, property_group = excluded.property_group,
  description = excluded.description, is_indexed = excluded.is_indexed, options = excluded.options;

-- name: load_contact_values
-- What contacts hold under a key, for a window of them behind an id: where it ends, and [[[id], value], …].
SELECT ARRAY[max(id)] AS last,
  coalesce(json_agg(json_build_array(ARRAY[id], properties -> $3) ORDER BY id) FILTER (WHERE properties ? $3),
    '[]')::text AS held
FROM (
  SELECT id, properties FROM contacts WHERE shard = $1 AND workspace_id = $2 AND id > $5 ORDER BY id LIMIT $4) page;

-- name: load_company_values
-- As load_contact_values.
SELECT ARRAY[max(id)] AS last,
  coalesce(json_agg(json_build_array(ARRAY[id], properties -> $3) ORDER BY id) FILTER (WHERE properties ? $3),
    '[]')::text AS held
FROM (
  SELECT id, properties FROM companies WHERE shard = $1 AND workspace_id = $2 AND id > $5 ORDER BY id LIMIT $4) page;

-- name: load_association_values
-- As load_contact_values; an association is named by its contact and its company.
SELECT max(ARRAY[contact_id, company_id]) AS last,
  coalesce(json_agg(json_build_array(ARRAY[contact_id, company_id], properties -> $3) ORDER BY contact_id, company_id)
    FILTER (WHERE properties ? $3), '[]')::text AS held
FROM (
  SELECT contact_id, company_id, properties FROM associations
  WHERE shard = $1 AND workspace_id = $2 AND (contact_id, company_id) > ($5, $6)
  ORDER BY contact_id, company_id LIMIT $4) page;

-- name: save_contact_values
-- [[[id], value], …] under the key; null takes it away.
UPDATE contacts
SET properties = CASE item -> 1 WHEN 'null' THEN properties - $3 ELSE jsonb_set(properties, ARRAY[$3], item -> 1) END
FROM jsonb_array_elements($4::jsonb) AS item
WHERE shard = $1 AND workspace_id = $2 AND id = (item -> 0 ->> 0)::bigint;

-- name: save_company_values
UPDATE companies
SET properties = CASE item -> 1 WHEN 'null' THEN properties - $3 ELSE jsonb_set(properties, ARRAY[$3], item -> 1) END
FROM jsonb_array_elements($4::jsonb) AS item
WHERE shard = $1 AND workspace_id = $2 AND id = (item -> 0 ->> 0)::bigint;

-- name: save_association_values
UPDATE associations
SET properties = CASE item -> 1 WHEN 'null' THEN properties - $3 ELSE jsonb_set(properties, ARRAY[$3], item -> 1) END
FROM jsonb_array_elements($4::jsonb) AS item
WHERE shard = $1 AND workspace_id = $2 AND contact_id = (item -> 0 ->> 0)::bigint
  AND company_id = (item -> 0 ->> 1)::bigint;
