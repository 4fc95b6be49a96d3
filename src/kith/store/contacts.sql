-- name: load_contacts
-- One JSON document for each contact named by external id, number or live email, and for the live holders of
-- the emails of the DELETED among them (a restore needs to know). Arrays come in pairs: workspace, key.
-- Each OFFSET keeps the planner from turning a join round while the table is young and it takes it for empty.
WITH named AS (
  SELECT c.* FROM unnest($2::int[], $3::text[]) AS wanted (workspace_id, external_id) CROSS JOIN LATERAL (
    SELECT * FROM contacts c
    WHERE c.shard = $1 AND c.workspace_id = wanted.workspace_id AND c.external_id = wanted.external_id OFFSET 0) c
  UNION ALL
  SELECT c.* FROM unnest($4::int[], $5::bigint[]) AS wanted (workspace_id, id) CROSS JOIN LATERAL (
    SELECT * FROM contacts c
    WHERE c.shard = $1 AND c.workspace_id = wanted.workspace_id AND c.id = wanted.id OFFSET 0) c
  UNION ALL
  SELECT c.* FROM unnest($6::int[], $7::text[]) AS wanted (workspace_id, email) CROSS JOIN LATERAL (
    SELECT * FROM contacts c
    WHERE c.shard = $1 AND c.workspace_id = wanted.workspace_id AND c.email = wanted.email
      AND c.status IN ('ACTIVE', 'ARCHIVED') OFFSET 0) c
), found AS (
  SELECT * FROM named
  UNION ALL
  SELECT c.* FROM named CROSS JOIN LATERAL (
    SELECT * FROM contacts c
    WHERE c.shard = $1 AND c.workspace_id = named.workspace_id AND c.email = named.email
      AND c.status IN ('ACTIVE', 'ARCHIVED') OFFSET 0) c
  WHERE named.status = 'DELETED'
)
SELECT workspace_id, json_build_object(
  'external_id', external_id, 'number', id, 'email', email, 'name', name, 'given_name', given_name,
  'family_name', family_name, 'phone', phone, 'phone_e164', phone_e164, 'avatar', avatar, 'status', status,
  'lifecycle_stage', lifecycle_stage, 'modules', modules, 'properties', properties,
  'activity_count', activity_count, 'last_activity_at', last_activity_at, 'created_at', created_at,
  'updated_at', updated_at, 'version', version)::text AS document
FROM found;

-- name: insert_contacts
INSERT INTO contacts (shard, workspace_id, id, external_id, email, name, name_key, given_name, family_name,
  family_key, phone,
  phone_e164, avatar, status, lifecycle_stage, modules, properties, activity_count, last_activity_at, created_at,
  updated_at, version, words)
SELECT $1, workspace_id, number, external_id, email, name, name_key, given_name, family_name, family_key, phone,
  phone_e164, avatar, status, lifecycle_stage, modules, properties, activity_count, last_activity_at, created_at,
  updated_at, version, words::tsvector
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, external_id text, email text,
  name text,
  name_key text, given_name text, family_name text, family_key text, phone text, phone_e164 text, avatar text,
  status text,
  lifecycle_stage text, modules text[], properties jsonb, activity_count bigint, last_activity_at timestamptz,
  created_at timestamptz, updated_at timestamptz, version int, words text);

-- name: release_emails
-- Before an update in which emails change hands: one UPDATE checks uniqueness row by row, so take them off first.
UPDATE contacts SET email = NULL
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint)
WHERE contacts.shard = $1 AND contacts.workspace_id = row.workspace_id AND contacts.id = row.number;

-- name: update_contacts
UPDATE contacts SET email = row.email, name = row.name, name_key = row.name_key, given_name = row.given_name,
  family_name = row.family_name, family_key = row.family_key, phone = row.phone, phone_e164 = row.phone_e164,
  avatar = row.avatar,
  status = row.status, lifecycle_stage = row.lifecycle_stage, modules = row.modules, properties = row.properties,
  activity_count = row.activity_count, last_activity_at = row.last_activity_at, updated_at = row.updated_at,
  version = row.version, words = row.words::tsvector
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, email text, name text,
  name_key text, given_name text, family_name text, family_key text, phone text, phone_e164 text, avatar text,
  status text,
  lifecycle_stage text, modules text[], properties jsonb, activity_count bigint, last_activity_at timestamptz,
  updated_at timestamptz, version int, words text)
WHERE contacts.shard = $1 AND contacts.workspace_id = row.workspace_id AND contacts.id = row.number;

-- name: load_counters
SELECT workspace_id, next_contact_number, next_event_sequence FROM counters
WHERE shard = $1 AND workspace_id = ANY ($2::int[]);

-- name: save_counters
INSERT INTO counters (shard, workspace_id, next_contact_number, next_event_sequence)
SELECT $1, workspace_id, next_contact_number, next_event_sequence
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, next_contact_number bigint,
  next_event_sequence bigint)
ON CONFLICT (shard, workspace_id) DO UPDATE
SET next_contact_number = excluded.next_contact_number, next_event_sequence = excluded.next_event_sequence;

-- name: add_totals
INSERT INTO totals (shard, workspace_id, entity, status, stage, count)
SELECT $1, workspace_id, entity, status, stage, count
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, entity text, status text, stage text, count bigint)
ON CONFLICT (shard, workspace_id, entity, status, stage) DO UPDATE SET count = totals.count + excluded.count;
