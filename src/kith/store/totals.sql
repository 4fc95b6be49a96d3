-- name: sum
SELECT coalesce(sum(count), 0)::bigint FROM totals
WHERE shard = $1 AND workspace_id = $2 AND entity = $3 AND status = ANY ($4::text[])
  AND ($5::text[] IS NULL OR stage = ANY ($5::text[]));

-- name: find_tag_total
SELECT CASE $4::text WHEN 'CONTACT' THEN contact_count ELSE company_count END
FROM tags WHERE shard = $1 AND workspace_id = $2 AND id = $3;

-- name: find_company_total
-- Of the contacts that belong to the company.
SELECT contact_count FROM companies WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND $4::text = 'CONTACT';

-- name: find_list_total
-- A list of companies has no contacts.
SELECT member_count FROM lists WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND entity_type = $4;

-- name: measure_contact
-- How many contacts there are, and the mean bytes of the texts of the newest of them.
SELECT (SELECT coalesce(sum(count), 0)::bigint FROM totals
    WHERE shard = $1 AND workspace_id = $2 AND entity = 'contact' AND status = ANY ($3::text[])) AS total,
  coalesce(avg(octet_length(name)), 0)::bigint AS name_bytes,
  coalesce(avg(octet_length(properties::text)), 0)::bigint AS properties_bytes
FROM (SELECT name, properties FROM contacts WHERE shard = $1 AND workspace_id = $2 ORDER BY id DESC LIMIT 5) newest;

-- name: measure_company
-- How many companies there are, and the mean bytes of the texts of the newest of them.
SELECT (SELECT coalesce(sum(count), 0)::bigint FROM totals
    WHERE shard = $1 AND workspace_id = $2 AND entity = 'company' AND status = ANY ($3::text[])) AS total,
  coalesce(avg(octet_length(name)), 0)::bigint AS name_bytes,
  coalesce(avg(octet_length(properties::text)), 0)::bigint AS properties_bytes
FROM (SELECT name, properties FROM companies WHERE shard = $1 AND workspace_id = $2 ORDER BY id DESC LIMIT 5) newest;
