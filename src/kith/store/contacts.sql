-- name: load_contacts
-- One JSON document for each contact named by external id, number or live email; for those that the MERGED among them
-- went into; and for the live holders of the emails of the DELETED among all these (a restore needs to know). Each with
-- its companies and tags. Arrays come in pairs: workspace, key. Who is meant is found with few columns: a plan that
-- hands whole rows on takes longer to begin.
-- Each OFFSET keeps the planner from turning a join round while the table is young and it takes it for empty.
WITH named AS (
  SELECT c.* FROM unnest($2::int[], $3::text[]) AS wanted (workspace_id, external_id) CROSS JOIN LATERAL (
    SELECT workspace_id, id, email, status, merged_into FROM contacts c
    WHERE c.shard = $1 AND c.workspace_id = wanted.workspace_id AND c.external_id = wanted.external_id OFFSET 0) c
  UNION ALL
  SELECT c.* FROM unnest($4::int[], $5::bigint[]) AS wanted (workspace_id, id) CROSS JOIN LATERAL (
    SELECT workspace_id, id, email, status, merged_into FROM contacts c
    WHERE c.shard = $1 AND c.workspace_id = wanted.workspace_id AND c.id = wanted.id OFFSET 0) c
  UNION ALL
  SELECT c.* FROM unnest($6::int[], $7::text[]) AS wanted (workspace_id, email) CROSS JOIN LATERAL (
    SELECT workspace_id, id, email, status, merged_into FROM contacts c
    WHERE c.shard = $1 AND c.workspace_id = wanted.workspace_id AND c.email = wanted.email
      AND c.status IN ('ACTIVE', 'ARCHIVED') OFFSET 0) c
), followed AS (
  SELECT * FROM named
  UNION ALL
  SELECT c.* FROM named CROSS JOIN LATERAL (
    SELECT workspace_id, id, email, status, merged_into FROM contacts c
    WHERE c.shard = $1 AND c.workspace_id = named.workspace_id AND c.external_id = named.merged_into OFFSET 0) c
  WHERE named.status = 'MERGED'
), found AS (
  SELECT * FROM followed
  UNION ALL
  SELECT c.* FROM followed CROSS JOIN LATERAL (
    SELECT workspace_id, id, email, status, merged_into FROM contacts c
    WHERE c.shard = $1 AND c.workspace_id = followed.workspace_id AND c.email = followed.email
      AND c.status IN ('ACTIVE', 'ARCHIVED') OFFSET 0) c
  WHERE followed.status = 'DELETED'
)
SELECT c.workspace_id, json_build_object(
  'external_id', c.external_id, 'number', c.id, 'email', c.email, 'name', c.name, 'given_name', c.given_name,
  'family_name', c.family_name, 'phone', c.phone, 'phone_e164', c.phone_e164, 'avatar', c.avatar, 'status', c.status,
  'lifecycle_stage', c.lifecycle_stage, 'modules', c.modules, 'properties', c.properties,
  'activity_count', c.activity_count, 'last_activity_at', c.last_activity_at, 'created_at', c.created_at,
  'updated_at', c.updated_at, 'version', c.version, 'merged_into', c.merged_into,
  'companies', (
    SELECT coalesce(json_agg(json_build_object('external_id', k.external_id, 'number', k.id, 'name', k.name,
      'domain', k.domain, 'live', k.status <> 'DELETED', 'role', a.role, 'is_primary', a.is_primary,
      'properties', a.properties) ORDER BY a.company_id), '[]')
    FROM associations a CROSS JOIN LATERAL (
      SELECT external_id, id, name, domain, status FROM companies k
      WHERE k.shard = $1 AND k.workspace_id = a.workspace_id AND k.id = a.company_id OFFSET 0) k
    WHERE a.shard = $1 AND a.workspace_id = c.workspace_id AND a.contact_id = c.id),
  'tags', (
    SELECT coalesce(json_agg(json_build_object('external_id', t.external_id, 'number', t.id, 'key', t.key,
      'name', t.name, 'color', t.color) ORDER BY g.tag_id), '[]')
    FROM taggings g CROSS JOIN LATERAL (
      SELECT * FROM tags t WHERE t.shard = $1 AND t.workspace_id = g.workspace_id AND t.id = g.tag_id OFFSET 0) t
    WHERE g.shard = $1 AND g.workspace_id = c.workspace_id AND g.entity = 'contact' AND g.record_id = c.id),
  'lists', (
    SELECT coalesce(json_agg(json_build_object('external_id', l.external_id, 'number', l.id) ORDER BY m.list_id), '[]')
    FROM list_members m CROSS JOIN LATERAL (
      SELECT * FROM lists l WHERE l.shard = $1 AND l.workspace_id = m.workspace_id AND l.id = m.list_id OFFSET 0) l
    WHERE m.shard = $1 AND m.workspace_id = c.workspace_id AND m.entity = 'contact' AND m.record_id = c.id)
  )::text AS document
FROM found CROSS JOIN LATERAL (
  SELECT * FROM contacts c WHERE c.shard = $1 AND c.workspace_id = found.workspace_id AND c.id = found.id OFFSET 0) c;

-- name: insert_contacts
INSERT INTO contacts (shard, workspace_id, id, external_id, email, email_key, name, name_key, given_name,
  family_name, family_key, phone,
  phone_e164, avatar, status, lifecycle_stage, modules, properties, activity_count, last_activity_at, created_at,
  updated_at, version, merged_into, folded, words, options,
  text_1, text_2, text_3, text_4, text_5, text_6, text_7, text_8, text_9, text_10, text_11, text_12, number_1,
  number_2, number_3, number_4, number_5, number_6, number_7, number_8, time_1, time_2, time_3, time_4)
SELECT $1, workspace_id, number, external_id, email, email_key, name, name_key, given_name, family_name, family_key,
  phone,
  phone_e164, avatar, status, lifecycle_stage, modules, properties, activity_count, last_activity_at, created_at,
  updated_at, version, merged_into, folded, words::tsvector, options,
  row.slots ->> 'text_1', row.slots ->> 'text_2', row.slots ->> 'text_3', row.slots ->> 'text_4',
  row.slots ->> 'text_5', row.slots ->> 'text_6', row.slots ->> 'text_7', row.slots ->> 'text_8',
  row.slots ->> 'text_9', row.slots ->> 'text_10', row.slots ->> 'text_11', row.slots ->> 'text_12',
  (row.slots ->> 'number_1')::numeric, (row.slots ->> 'number_2')::numeric, (row.slots ->> 'number_3')::numeric,
  (row.slots ->> 'number_4')::numeric, (row.slots ->> 'number_5')::numeric, (row.slots ->> 'number_6')::numeric,
  (row.slots ->> 'number_7')::numeric, (row.slots ->> 'number_8')::numeric, (row.slots ->> 'time_1')::timestamptz,
  (row.slots ->> 'time_2')::timestamptz, (row.slots ->> 'time_3')::timestamptz, (row.slots ->> 'time_4')::timestamptz
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, external_id text, email text,
  email_key text, name text,
  name_key text, given_name text, family_name text, family_key text, phone text, phone_e164 text, avatar text,
  status text,
  lifecycle_stage text, modules text[], properties jsonb, activity_count bigint, last_activity_at timestamptz,
  created_at timestamptz, updated_at timestamptz, version int, merged_into text, folded jsonb, words text,
  options text[], slots jsonb);

-- name: release_emails
-- Before an update in which emails change hands: one UPDATE checks uniqueness row by row, so take them off first.
UPDATE contacts SET email = NULL
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint)
WHERE contacts.shard = $1 AND contacts.workspace_id = row.workspace_id AND contacts.id = row.number;

-- name: update_contacts
UPDATE contacts SET email = row.email, email_key = row.email_key, name = row.name, name_key = row.name_key,
  given_name = row.given_name,
  family_name = row.family_name, family_key = row.family_key, phone = row.phone, phone_e164 = row.phone_e164,
  avatar = row.avatar,
  status = row.status, lifecycle_stage = row.lifecycle_stage, modules = row.modules, properties = row.properties,
  activity_count = row.activity_count, last_activity_at = row.last_activity_at, updated_at = row.updated_at,
  version = row.version, merged_into = row.merged_into, folded = row.folded,
  words = row.words::tsvector, options = row.options,
  text_1 = row.slots ->> 'text_1', text_2 = row.slots ->> 'text_2', text_3 = row.slots ->> 'text_3',
  text_4 = row.slots ->> 'text_4', text_5 = row.slots ->> 'text_5', text_6 = row.slots ->> 'text_6',
  text_7 = row.slots ->> 'text_7', text_8 = row.slots ->> 'text_8', text_9 = row.slots ->> 'text_9',
  text_10 = row.slots ->> 'text_10', text_11 = row.slots ->> 'text_11', text_12 = row.slots ->> 'text_12',
  number_1 = (row.slots ->> 'number_1')::numeric, number_2 = (row.slots ->> 'number_2')::numeric,
  number_3 = (row.slots ->> 'number_3')::numeric, number_4 = (row.slots ->> 'number_4')::numeric,
  number_5 = (row.slots ->> 'number_5')::numeric, number_6 = (row.slots ->> 'number_6')::numeric,
  number_7 = (row.slots ->> 'number_7')::numeric, number_8 = (row.slots ->> 'number_8')::numeric,
  time_1 = (row.slots ->> 'time_1')::timestamptz, time_2 = (row.slots ->> 'time_2')::timestamptz,
  time_3 = (row.slots ->> 'time_3')::timestamptz, time_4 = (row.slots ->> 'time_4')::timestamptz
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, email text, email_key text, name text,
  name_key text, given_name text, family_name text, family_key text, phone text, phone_e164 text, avatar text,
  status text,
  lifecycle_stage text, modules text[], properties jsonb, activity_count bigint, last_activity_at timestamptz,
  updated_at timestamptz, version int, merged_into text, folded jsonb, words text,
  options text[], slots jsonb)
WHERE contacts.shard = $1 AND contacts.workspace_id = row.workspace_id AND contacts.id = row.number;

-- name: redirect_merged
-- Those that were merged into a contact that is now merged itself answer as the last in the chain.
UPDATE contacts SET merged_into = row.winner
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, loser text, winner text)
WHERE contacts.shard = $1 AND contacts.workspace_id = row.workspace_id AND contacts.merged_into = row.loser
  AND contacts.status = 'MERGED';
