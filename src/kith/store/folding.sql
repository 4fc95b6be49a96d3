-- name: is_folded
SELECT text_folded FROM installation;

-- name: mark_folded
UPDATE installation SET text_folded = true;

-- name: list_workspaces
SELECT shard, id FROM workspaces ORDER BY id;

-- name: list_contacts
-- The next contacts whose texts are not ASCII only, who have a property that may be a phone number, or a phone with more
-- than digits.
SELECT id FROM contacts c
WHERE shard = $1 AND workspace_id = $2 AND id > $3
  AND (concat(email, name, given_name, family_name, phone, avatar, properties) ~ '[^\u0001-\u007f]' OR properties::text ~ '": "(\+|00)'
    OR phone ~ '[A-Za-z#]')
ORDER BY id LIMIT $4;

-- name: list_companies
SELECT id FROM companies c
WHERE shard = $1 AND workspace_id = $2 AND id > $3
  AND (concat(name, industry, size, plan, website, phone, properties) ~ '[^\u0001-\u007f]' OR properties::text ~ '": "(\+|00)'
    OR domain LIKE '%xn--%' OR phone ~ '[A-Za-z#]')
ORDER BY id LIMIT $4;

-- name: list_associations
SELECT contact_id, company_id, role, properties::text AS properties FROM associations
WHERE shard = $1 AND workspace_id = $2 AND (contact_id, company_id) > ($3, $4)
  AND (concat(role, properties) ~ '[^\u0001-\u007f]' OR properties::text ~ '": "(\+|00)')
ORDER BY contact_id, company_id LIMIT $5;

-- name: list_names
-- Tags and lists: there are few.
SELECT 'tag' AS kind, id, name FROM tags WHERE shard = $1 AND workspace_id = $2 AND name ~ '[^\u0001-\u007f]'
UNION ALL
SELECT 'list', id, name FROM lists WHERE shard = $1 AND workspace_id = $2 AND name ~ '[^\u0001-\u007f]';

-- name: fold_contacts
UPDATE contacts SET email_key = row.email_key, name_key = row.name_key, family_key = row.family_key,
  folded = row.folded, words = row.words::tsvector, options = row.options,
  text_1 = row.slots ->> 'text_1', text_2 = row.slots ->> 'text_2', text_3 = row.slots ->> 'text_3',
  text_4 = row.slots ->> 'text_4', text_5 = row.slots ->> 'text_5', text_6 = row.slots ->> 'text_6',
  text_7 = row.slots ->> 'text_7', text_8 = row.slots ->> 'text_8', text_9 = row.slots ->> 'text_9',
  text_10 = row.slots ->> 'text_10', text_11 = row.slots ->> 'text_11', text_12 = row.slots ->> 'text_12'
FROM jsonb_to_recordset($3::jsonb) AS row (number bigint, email_key text, name_key text, family_key text,
  folded jsonb, words text, options text[], slots jsonb)
WHERE contacts.shard = $1 AND contacts.workspace_id = $2 AND contacts.id = row.number;

-- name: fold_companies
UPDATE companies SET name_key = row.name_key, industry_key = row.industry_key, size_key = row.size_key,
  folded = row.folded, words = row.words::tsvector, options = row.options,
  text_1 = row.slots ->> 'text_1', text_2 = row.slots ->> 'text_2', text_3 = row.slots ->> 'text_3',
  text_4 = row.slots ->> 'text_4', text_5 = row.slots ->> 'text_5', text_6 = row.slots ->> 'text_6',
  text_7 = row.slots ->> 'text_7', text_8 = row.slots ->> 'text_8', text_9 = row.slots ->> 'text_9',
  text_10 = row.slots ->> 'text_10', text_11 = row.slots ->> 'text_11', text_12 = row.slots ->> 'text_12'
FROM jsonb_to_recordset($3::jsonb) AS row (number bigint, name_key text, industry_key text, size_key text,
  folded jsonb, words text, options text[], slots jsonb)
WHERE companies.shard = $1 AND companies.workspace_id = $2 AND companies.id = row.number;

-- name: fold_associations
UPDATE associations SET folded = row.folded
FROM jsonb_to_recordset($3::jsonb) AS row (contact bigint, company bigint, folded jsonb)
WHERE associations.shard = $1 AND associations.workspace_id = $2 AND associations.contact_id = row.contact
  AND associations.company_id = row.company;

-- name: fold_tags
UPDATE tags SET name_key = row.name_key
FROM jsonb_to_recordset($3::jsonb) AS row (number bigint, name_key text)
WHERE tags.shard = $1 AND tags.workspace_id = $2 AND tags.id = row.number;

-- name: fold_lists
UPDATE lists SET name_key = row.name_key
FROM jsonb_to_recordset($3::jsonb) AS row (number bigint, name_key text)
WHERE lists.shard = $1 AND lists.workspace_id = $2 AND lists.id = row.number;
