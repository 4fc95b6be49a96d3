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
  'is_indexed', is_indexed, 'options', options, 'slot', slot, 'status', status, 'created_at', created_at,
  'updated_at', updated_at, 'version', version
  )::text AS document
FROM found;

-- name: load_schemas
-- All properties of the (workspace, entity) pairs, as documents like those of load_properties.
SELECT p.workspace_id, p.entity, json_agg(json_build_object(
  'external_id', p.external_id, 'number', p.id, 'entity', p.entity, 'key', p.key, 'label', p.label, 'type', p.type,
  'group', p.property_group, 'description', p.description, 'is_required', p.is_required, 'is_system', p.is_system,
  'is_indexed', p.is_indexed, 'options', p.options, 'slot', p.slot, 'status', p.status, 'created_at', p.created_at,
  'updated_at', p.updated_at, 'version', p.version) ORDER BY p.id)::text AS documents
FROM unnest($2::int[], $3::text[]) AS wanted (workspace_id, entity) CROSS JOIN LATERAL (
  SELECT * FROM properties p
  WHERE p.shard = $1 AND p.workspace_id = wanted.workspace_id AND p.entity = wanted.entity OFFSET 0) p
GROUP BY p.workspace_id, p.entity;

-- name: insert_properties
INSERT INTO properties (shard, workspace_id, id, external_id, entity, key, label, type, property_group, description,
  is_required, is_system, is_indexed, options, status, created_at, updated_at, version, slot)
SELECT $1, workspace_id, number, external_id, entity, key, label, type, "group", description, is_required, is_system,
  is_indexed, options, status, created_at, updated_at, version, slot
FROM jsonb_to_recordset($2::jsonb) AS row (slot text, workspace_id int, number bigint, external_id text, entity text, key text,
  label text, type text, "group" text, description text, is_required boolean, is_system boolean, is_indexed boolean,
  options jsonb, status text, created_at timestamptz, updated_at timestamptz, version int);

-- name: update_properties
UPDATE properties SET label = row.label, type = row.type, property_group = row."group",
  description = row.description, is_required = row.is_required, is_indexed = row.is_indexed, options = row.options, slot = row.slot,
  status = row.status, updated_at = row.updated_at, version = row.version
FROM jsonb_to_recordset($2::jsonb) AS row (slot text, workspace_id int, number bigint, label text, type text, "group" text,
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
-- [[[id], value, copy for the slot $5, [marks], folded forms], …] under the key; null takes it away. $6 is the prefix of its marks.
-- The OFFSET keeps the planner from turning the join round while the table is young and it takes it for empty.
UPDATE contacts
SET properties = CASE item -> 1 WHEN 'null' THEN properties - $3 ELSE jsonb_set(properties, ARRAY[$3], item -> 1) END,
  folded = nullif(CASE item -> 4 WHEN 'null' THEN folded - ('properties.' || $3)
    ELSE jsonb_set(coalesce(folded, '{}'), ARRAY['properties.' || $3], item -> 4) END, '{}'),
  options = CASE WHEN $6 = '' THEN options ELSE nullif(ARRAY(
    SELECT mark FROM unnest(options) mark WHERE NOT starts_with(mark, $6)
    UNION SELECT jsonb_array_elements_text(item -> 3) ORDER BY 1), '{}') END,
  text_1 = CASE $5 WHEN 'text_1' THEN item ->> 2 ELSE text_1 END,
  text_2 = CASE $5 WHEN 'text_2' THEN item ->> 2 ELSE text_2 END,
  text_3 = CASE $5 WHEN 'text_3' THEN item ->> 2 ELSE text_3 END,
  text_4 = CASE $5 WHEN 'text_4' THEN item ->> 2 ELSE text_4 END,
  text_5 = CASE $5 WHEN 'text_5' THEN item ->> 2 ELSE text_5 END,
  text_6 = CASE $5 WHEN 'text_6' THEN item ->> 2 ELSE text_6 END,
  text_7 = CASE $5 WHEN 'text_7' THEN item ->> 2 ELSE text_7 END,
  text_8 = CASE $5 WHEN 'text_8' THEN item ->> 2 ELSE text_8 END,
  text_9 = CASE $5 WHEN 'text_9' THEN item ->> 2 ELSE text_9 END,
  text_10 = CASE $5 WHEN 'text_10' THEN item ->> 2 ELSE text_10 END,
  text_11 = CASE $5 WHEN 'text_11' THEN item ->> 2 ELSE text_11 END,
  text_12 = CASE $5 WHEN 'text_12' THEN item ->> 2 ELSE text_12 END,
  number_1 = CASE $5 WHEN 'number_1' THEN (item ->> 2)::numeric ELSE number_1 END,
  number_2 = CASE $5 WHEN 'number_2' THEN (item ->> 2)::numeric ELSE number_2 END,
  number_3 = CASE $5 WHEN 'number_3' THEN (item ->> 2)::numeric ELSE number_3 END,
  number_4 = CASE $5 WHEN 'number_4' THEN (item ->> 2)::numeric ELSE number_4 END,
  number_5 = CASE $5 WHEN 'number_5' THEN (item ->> 2)::numeric ELSE number_5 END,
  number_6 = CASE $5 WHEN 'number_6' THEN (item ->> 2)::numeric ELSE number_6 END,
  number_7 = CASE $5 WHEN 'number_7' THEN (item ->> 2)::numeric ELSE number_7 END,
  number_8 = CASE $5 WHEN 'number_8' THEN (item ->> 2)::numeric ELSE number_8 END,
  time_1 = CASE $5 WHEN 'time_1' THEN (item ->> 2)::timestamptz ELSE time_1 END,
  time_2 = CASE $5 WHEN 'time_2' THEN (item ->> 2)::timestamptz ELSE time_2 END,
  time_3 = CASE $5 WHEN 'time_3' THEN (item ->> 2)::timestamptz ELSE time_3 END,
  time_4 = CASE $5 WHEN 'time_4' THEN (item ->> 2)::timestamptz ELSE time_4 END
FROM (
  SELECT $2::int AS of, (item -> 0 ->> 0)::bigint AS number, item
  FROM jsonb_array_elements($4::jsonb) AS item OFFSET 0) row
WHERE shard = $1 AND workspace_id = row.of AND id = row.number;

-- name: clear_contact_slot
-- A window of the records that have something in the slot $3, which no property has any more; the last of them.
WITH held AS MATERIALIZED (
  SELECT $2::int AS of, id FROM contacts
  WHERE shard = $1 AND workspace_id = $2 AND id > $4 AND CASE $3
    WHEN 'text_1' THEN text_1 IS NOT NULL
    WHEN 'text_2' THEN text_2 IS NOT NULL
    WHEN 'text_3' THEN text_3 IS NOT NULL
    WHEN 'text_4' THEN text_4 IS NOT NULL
    WHEN 'text_5' THEN text_5 IS NOT NULL
    WHEN 'text_6' THEN text_6 IS NOT NULL
    WHEN 'text_7' THEN text_7 IS NOT NULL
    WHEN 'text_8' THEN text_8 IS NOT NULL
    WHEN 'text_9' THEN text_9 IS NOT NULL
    WHEN 'text_10' THEN text_10 IS NOT NULL
    WHEN 'text_11' THEN text_11 IS NOT NULL
    WHEN 'text_12' THEN text_12 IS NOT NULL
    WHEN 'number_1' THEN number_1 IS NOT NULL
    WHEN 'number_2' THEN number_2 IS NOT NULL
    WHEN 'number_3' THEN number_3 IS NOT NULL
    WHEN 'number_4' THEN number_4 IS NOT NULL
    WHEN 'number_5' THEN number_5 IS NOT NULL
    WHEN 'number_6' THEN number_6 IS NOT NULL
    WHEN 'number_7' THEN number_7 IS NOT NULL
    WHEN 'number_8' THEN number_8 IS NOT NULL
    WHEN 'time_1' THEN time_1 IS NOT NULL
    WHEN 'time_2' THEN time_2 IS NOT NULL
    WHEN 'time_3' THEN time_3 IS NOT NULL
    WHEN 'time_4' THEN time_4 IS NOT NULL
  END ORDER BY id LIMIT $5
), cleared AS (
  UPDATE contacts SET
  text_1 = CASE $3 WHEN 'text_1' THEN NULL ELSE contacts.text_1 END,
  text_2 = CASE $3 WHEN 'text_2' THEN NULL ELSE contacts.text_2 END,
  text_3 = CASE $3 WHEN 'text_3' THEN NULL ELSE contacts.text_3 END,
  text_4 = CASE $3 WHEN 'text_4' THEN NULL ELSE contacts.text_4 END,
  text_5 = CASE $3 WHEN 'text_5' THEN NULL ELSE contacts.text_5 END,
  text_6 = CASE $3 WHEN 'text_6' THEN NULL ELSE contacts.text_6 END,
  text_7 = CASE $3 WHEN 'text_7' THEN NULL ELSE contacts.text_7 END,
  text_8 = CASE $3 WHEN 'text_8' THEN NULL ELSE contacts.text_8 END,
  text_9 = CASE $3 WHEN 'text_9' THEN NULL ELSE contacts.text_9 END,
  text_10 = CASE $3 WHEN 'text_10' THEN NULL ELSE contacts.text_10 END,
  text_11 = CASE $3 WHEN 'text_11' THEN NULL ELSE contacts.text_11 END,
  text_12 = CASE $3 WHEN 'text_12' THEN NULL ELSE contacts.text_12 END,
  number_1 = CASE $3 WHEN 'number_1' THEN NULL ELSE contacts.number_1 END,
  number_2 = CASE $3 WHEN 'number_2' THEN NULL ELSE contacts.number_2 END,
  number_3 = CASE $3 WHEN 'number_3' THEN NULL ELSE contacts.number_3 END,
  number_4 = CASE $3 WHEN 'number_4' THEN NULL ELSE contacts.number_4 END,
  number_5 = CASE $3 WHEN 'number_5' THEN NULL ELSE contacts.number_5 END,
  number_6 = CASE $3 WHEN 'number_6' THEN NULL ELSE contacts.number_6 END,
  number_7 = CASE $3 WHEN 'number_7' THEN NULL ELSE contacts.number_7 END,
  number_8 = CASE $3 WHEN 'number_8' THEN NULL ELSE contacts.number_8 END,
  time_1 = CASE $3 WHEN 'time_1' THEN NULL ELSE contacts.time_1 END,
  time_2 = CASE $3 WHEN 'time_2' THEN NULL ELSE contacts.time_2 END,
  time_3 = CASE $3 WHEN 'time_3' THEN NULL ELSE contacts.time_3 END,
  time_4 = CASE $3 WHEN 'time_4' THEN NULL ELSE contacts.time_4 END
  FROM held WHERE shard = $1 AND workspace_id = held.of AND contacts.id = held.id
)
SELECT max(id) FROM held;

-- name: save_company_values
UPDATE companies
SET properties = CASE item -> 1 WHEN 'null' THEN properties - $3 ELSE jsonb_set(properties, ARRAY[$3], item -> 1) END,
  folded = nullif(CASE item -> 4 WHEN 'null' THEN folded - ('properties.' || $3)
    ELSE jsonb_set(coalesce(folded, '{}'), ARRAY['properties.' || $3], item -> 4) END, '{}'),
  options = CASE WHEN $6 = '' THEN options ELSE nullif(ARRAY(
    SELECT mark FROM unnest(options) mark WHERE NOT starts_with(mark, $6)
    UNION SELECT jsonb_array_elements_text(item -> 3) ORDER BY 1), '{}') END,
  text_1 = CASE $5 WHEN 'text_1' THEN item ->> 2 ELSE text_1 END,
  text_2 = CASE $5 WHEN 'text_2' THEN item ->> 2 ELSE text_2 END,
  text_3 = CASE $5 WHEN 'text_3' THEN item ->> 2 ELSE text_3 END,
  text_4 = CASE $5 WHEN 'text_4' THEN item ->> 2 ELSE text_4 END,
  text_5 = CASE $5 WHEN 'text_5' THEN item ->> 2 ELSE text_5 END,
  text_6 = CASE $5 WHEN 'text_6' THEN item ->> 2 ELSE text_6 END,
  text_7 = CASE $5 WHEN 'text_7' THEN item ->> 2 ELSE text_7 END,
  text_8 = CASE $5 WHEN 'text_8' THEN item ->> 2 ELSE text_8 END,
  text_9 = CASE $5 WHEN 'text_9' THEN item ->> 2 ELSE text_9 END,
  text_10 = CASE $5 WHEN 'text_10' THEN item ->> 2 ELSE text_10 END,
  text_11 = CASE $5 WHEN 'text_11' THEN item ->> 2 ELSE text_11 END,
  text_12 = CASE $5 WHEN 'text_12' THEN item ->> 2 ELSE text_12 END,
  number_1 = CASE $5 WHEN 'number_1' THEN (item ->> 2)::numeric ELSE number_1 END,
  number_2 = CASE $5 WHEN 'number_2' THEN (item ->> 2)::numeric ELSE number_2 END,
  number_3 = CASE $5 WHEN 'number_3' THEN (item ->> 2)::numeric ELSE number_3 END,
  number_4 = CASE $5 WHEN 'number_4' THEN (item ->> 2)::numeric ELSE number_4 END,
  number_5 = CASE $5 WHEN 'number_5' THEN (item ->> 2)::numeric ELSE number_5 END,
  number_6 = CASE $5 WHEN 'number_6' THEN (item ->> 2)::numeric ELSE number_6 END,
  number_7 = CASE $5 WHEN 'number_7' THEN (item ->> 2)::numeric ELSE number_7 END,
  number_8 = CASE $5 WHEN 'number_8' THEN (item ->> 2)::numeric ELSE number_8 END,
  time_1 = CASE $5 WHEN 'time_1' THEN (item ->> 2)::timestamptz ELSE time_1 END,
  time_2 = CASE $5 WHEN 'time_2' THEN (item ->> 2)::timestamptz ELSE time_2 END,
  time_3 = CASE $5 WHEN 'time_3' THEN (item ->> 2)::timestamptz ELSE time_3 END,
  time_4 = CASE $5 WHEN 'time_4' THEN (item ->> 2)::timestamptz ELSE time_4 END
FROM (
  SELECT $2::int AS of, (item -> 0 ->> 0)::bigint AS number, item
  FROM jsonb_array_elements($4::jsonb) AS item OFFSET 0) row
WHERE shard = $1 AND workspace_id = row.of AND id = row.number;

-- name: clear_company_slot
-- A window of the records that have something in the slot $3, which no property has any more; the last of them.
WITH held AS MATERIALIZED (
  SELECT $2::int AS of, id FROM companies
  WHERE shard = $1 AND workspace_id = $2 AND id > $4 AND CASE $3
    WHEN 'text_1' THEN text_1 IS NOT NULL
    WHEN 'text_2' THEN text_2 IS NOT NULL
    WHEN 'text_3' THEN text_3 IS NOT NULL
    WHEN 'text_4' THEN text_4 IS NOT NULL
    WHEN 'text_5' THEN text_5 IS NOT NULL
    WHEN 'text_6' THEN text_6 IS NOT NULL
    WHEN 'text_7' THEN text_7 IS NOT NULL
    WHEN 'text_8' THEN text_8 IS NOT NULL
    WHEN 'text_9' THEN text_9 IS NOT NULL
    WHEN 'text_10' THEN text_10 IS NOT NULL
    WHEN 'text_11' THEN text_11 IS NOT NULL
    WHEN 'text_12' THEN text_12 IS NOT NULL
    WHEN 'number_1' THEN number_1 IS NOT NULL
    WHEN 'number_2' THEN number_2 IS NOT NULL
    WHEN 'number_3' THEN number_3 IS NOT NULL
    WHEN 'number_4' THEN number_4 IS NOT NULL
    WHEN 'number_5' THEN number_5 IS NOT NULL
    WHEN 'number_6' THEN number_6 IS NOT NULL
    WHEN 'number_7' THEN number_7 IS NOT NULL
    WHEN 'number_8' THEN number_8 IS NOT NULL
    WHEN 'time_1' THEN time_1 IS NOT NULL
    WHEN 'time_2' THEN time_2 IS NOT NULL
    WHEN 'time_3' THEN time_3 IS NOT NULL
    WHEN 'time_4' THEN time_4 IS NOT NULL
  END ORDER BY id LIMIT $5
), cleared AS (
  UPDATE companies SET
  text_1 = CASE $3 WHEN 'text_1' THEN NULL ELSE companies.text_1 END,
  text_2 = CASE $3 WHEN 'text_2' THEN NULL ELSE companies.text_2 END,
  text_3 = CASE $3 WHEN 'text_3' THEN NULL ELSE companies.text_3 END,
  text_4 = CASE $3 WHEN 'text_4' THEN NULL ELSE companies.text_4 END,
  text_5 = CASE $3 WHEN 'text_5' THEN NULL ELSE companies.text_5 END,
  text_6 = CASE $3 WHEN 'text_6' THEN NULL ELSE companies.text_6 END,
  text_7 = CASE $3 WHEN 'text_7' THEN NULL ELSE companies.text_7 END,
  text_8 = CASE $3 WHEN 'text_8' THEN NULL ELSE companies.text_8 END,
  text_9 = CASE $3 WHEN 'text_9' THEN NULL ELSE companies.text_9 END,
  text_10 = CASE $3 WHEN 'text_10' THEN NULL ELSE companies.text_10 END,
  text_11 = CASE $3 WHEN 'text_11' THEN NULL ELSE companies.text_11 END,
  text_12 = CASE $3 WHEN 'text_12' THEN NULL ELSE companies.text_12 END,
  number_1 = CASE $3 WHEN 'number_1' THEN NULL ELSE companies.number_1 END,
  number_2 = CASE $3 WHEN 'number_2' THEN NULL ELSE companies.number_2 END,
  number_3 = CASE $3 WHEN 'number_3' THEN NULL ELSE companies.number_3 END,
  number_4 = CASE $3 WHEN 'number_4' THEN NULL ELSE companies.number_4 END,
  number_5 = CASE $3 WHEN 'number_5' THEN NULL ELSE companies.number_5 END,
  number_6 = CASE $3 WHEN 'number_6' THEN NULL ELSE companies.number_6 END,
  number_7 = CASE $3 WHEN 'number_7' THEN NULL ELSE companies.number_7 END,
  number_8 = CASE $3 WHEN 'number_8' THEN NULL ELSE companies.number_8 END,
  time_1 = CASE $3 WHEN 'time_1' THEN NULL ELSE companies.time_1 END,
  time_2 = CASE $3 WHEN 'time_2' THEN NULL ELSE companies.time_2 END,
  time_3 = CASE $3 WHEN 'time_3' THEN NULL ELSE companies.time_3 END,
  time_4 = CASE $3 WHEN 'time_4' THEN NULL ELSE companies.time_4 END
  FROM held WHERE shard = $1 AND workspace_id = held.of AND companies.id = held.id
)
SELECT max(id) FROM held;

-- name: save_association_values
UPDATE associations
SET properties = CASE item -> 1 WHEN 'null' THEN properties - $3 ELSE jsonb_set(properties, ARRAY[$3], item -> 1) END,
  folded = nullif(CASE item -> 4 WHEN 'null' THEN folded - ('link.' || $3)
    ELSE jsonb_set(coalesce(folded, '{}'), ARRAY['link.' || $3], item -> 4) END, '{}')
FROM (
  SELECT $2::int AS of, (item -> 0 ->> 0)::bigint AS contact, (item -> 0 ->> 1)::bigint AS company, item
  FROM jsonb_array_elements($4::jsonb) AS item OFFSET 0) row
WHERE shard = $1 AND workspace_id = row.of AND contact_id = row.contact AND company_id = row.company;
