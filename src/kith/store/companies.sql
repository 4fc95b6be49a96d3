-- name: load_companies
-- One JSON document for each company named by external id, number or live domain, with its tags, and for the live
-- holders of the domains of the DELETED among them. Arrays and OFFSETs as in load_contacts.
WITH named AS (
  SELECT k.* FROM unnest($2::int[], $3::text[]) AS wanted (workspace_id, external_id) CROSS JOIN LATERAL (
    SELECT * FROM companies k
    WHERE k.shard = $1 AND k.workspace_id = wanted.workspace_id AND k.external_id = wanted.external_id OFFSET 0) k
  UNION ALL
  SELECT k.* FROM unnest($4::int[], $5::bigint[]) AS wanted (workspace_id, id) CROSS JOIN LATERAL (
    SELECT * FROM companies k
    WHERE k.shard = $1 AND k.workspace_id = wanted.workspace_id AND k.id = wanted.id OFFSET 0) k
  UNION ALL
  SELECT k.* FROM unnest($6::int[], $7::text[]) AS wanted (workspace_id, domain) CROSS JOIN LATERAL (
    SELECT * FROM companies k
    WHERE k.shard = $1 AND k.workspace_id = wanted.workspace_id AND k.domain = wanted.domain
      AND k.status IN ('ACTIVE', 'ARCHIVED') OFFSET 0) k
), found AS (
  SELECT * FROM named
  UNION ALL
  SELECT k.* FROM named CROSS JOIN LATERAL (
    SELECT * FROM companies k
    WHERE k.shard = $1 AND k.workspace_id = named.workspace_id AND k.domain = named.domain
      AND k.status IN ('ACTIVE', 'ARCHIVED') OFFSET 0) k
  WHERE named.status = 'DELETED'
)
SELECT workspace_id, json_build_object(
  'external_id', external_id, 'number', id, 'name', name, 'domain', domain, 'industry', industry, 'size', size,
  'plan', plan, 'spend', spend, 'website', website, 'phone', phone, 'phone_e164', phone_e164, 'status', status,
  'properties', properties, 'contact_count', contact_count, 'created_at', created_at, 'updated_at', updated_at,
  'version', version,
  'tags', (
    SELECT coalesce(json_agg(json_build_object('external_id', t.external_id, 'number', t.id, 'key', t.key,
      'name', t.name, 'color', t.color) ORDER BY g.tag_id), '[]')
    FROM taggings g CROSS JOIN LATERAL (
      SELECT * FROM tags t WHERE t.shard = $1 AND t.workspace_id = g.workspace_id AND t.id = g.tag_id OFFSET 0) t
    WHERE g.shard = $1 AND g.workspace_id = found.workspace_id AND g.entity = 'company' AND g.record_id = found.id),
  'lists', (
    SELECT coalesce(json_agg(json_build_object('external_id', l.external_id, 'number', l.id) ORDER BY m.list_id), '[]')
    FROM list_members m CROSS JOIN LATERAL (
      SELECT * FROM lists l WHERE l.shard = $1 AND l.workspace_id = m.workspace_id AND l.id = m.list_id OFFSET 0) l
    WHERE m.shard = $1 AND m.workspace_id = found.workspace_id AND m.entity = 'company' AND m.record_id = found.id)
  )::text AS document
FROM found;

-- name: insert_companies
INSERT INTO companies (shard, workspace_id, id, external_id, name, name_key, domain, industry, industry_key, size,
  size_key, plan, spend,
  website, phone, phone_e164, status, properties, contact_count, created_at, updated_at, version, folded, words,
  options,
  text_1, text_2, text_3, text_4, text_5, text_6, text_7, text_8, text_9, text_10, text_11, text_12, number_1,
  number_2, number_3, number_4, number_5, number_6, number_7, number_8, time_1, time_2, time_3, time_4)
SELECT $1, workspace_id, number, external_id, name, name_key, domain, industry, industry_key, size,
  size_key, plan, spend,
  website, phone, phone_e164, status, properties, 0, created_at, updated_at, version, folded, words::tsvector,
  options,
  row.slots ->> 'text_1', row.slots ->> 'text_2', row.slots ->> 'text_3', row.slots ->> 'text_4',
  row.slots ->> 'text_5', row.slots ->> 'text_6', row.slots ->> 'text_7', row.slots ->> 'text_8',
  row.slots ->> 'text_9', row.slots ->> 'text_10', row.slots ->> 'text_11', row.slots ->> 'text_12',
  (row.slots ->> 'number_1')::numeric, (row.slots ->> 'number_2')::numeric, (row.slots ->> 'number_3')::numeric,
  (row.slots ->> 'number_4')::numeric, (row.slots ->> 'number_5')::numeric, (row.slots ->> 'number_6')::numeric,
  (row.slots ->> 'number_7')::numeric, (row.slots ->> 'number_8')::numeric, (row.slots ->> 'time_1')::timestamptz,
  (row.slots ->> 'time_2')::timestamptz, (row.slots ->> 'time_3')::timestamptz, (row.slots ->> 'time_4')::timestamptz
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, external_id text, name text,
  name_key text, domain text, industry text, industry_key text, size text, size_key text, plan text, spend numeric,
  website text, phone text,
  phone_e164 text, status text, properties jsonb, created_at timestamptz, updated_at timestamptz, version int,
  folded jsonb, words text,
  options text[], slots jsonb);

-- name: release_domains
-- Before an update in which domains change hands, as release_emails.
UPDATE companies SET domain = NULL
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint)
WHERE companies.shard = $1 AND companies.workspace_id = row.workspace_id AND companies.id = row.number;

-- name: update_companies
UPDATE companies SET name = row.name, name_key = row.name_key, domain = row.domain, industry = row.industry,
  industry_key = row.industry_key, size = row.size, size_key = row.size_key, plan = row.plan, spend = row.spend,
  website = row.website, phone = row.phone,
  phone_e164 = row.phone_e164, status = row.status, properties = row.properties, updated_at = row.updated_at,
  version = row.version, folded = row.folded, words = row.words::tsvector, options = row.options,
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
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, name text, name_key text, domain text,
  industry text, industry_key text, size text, size_key text, plan text, spend numeric, website text, phone text,
  phone_e164 text, status text,
  properties jsonb, updated_at timestamptz, version int, folded jsonb, words text,
  options text[], slots jsonb)
WHERE companies.shard = $1 AND companies.workspace_id = row.workspace_id AND companies.id = row.number;

-- name: add_company_counts
UPDATE companies SET contact_count = contact_count + row.count
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, count bigint)
WHERE companies.shard = $1 AND companies.workspace_id = row.workspace_id AND companies.id = row.number;
