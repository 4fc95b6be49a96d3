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
-- The number of live contacts and of their links, and the mean bytes of texts in a random sample over all ids.
SELECT (SELECT coalesce(sum(count), 0)::bigint FROM totals
    WHERE shard = $1 AND workspace_id = $2 AND entity = 'contact' AND status = ANY ($3::text[])) AS total,
  0::bigint AS links,
  coalesce(avg(octet_length(r.name)), 0)::bigint AS name_bytes,
  coalesce(avg(octet_length(r.properties::text)), 0)::bigint AS properties_bytes,
  coalesce(avg(greatest(octet_length(r.email), octet_length(r.given_name), octet_length(r.family_name), octet_length(r.phone), octet_length(r.avatar))), 0)::bigint AS other_bytes
FROM (SELECT max(id) AS last FROM contacts WHERE shard = $1 AND workspace_id = $2) ids
CROSS JOIN generate_series(0, 15) n
CROSS JOIN LATERAL (SELECT * FROM contacts
  WHERE shard = $1 AND workspace_id = $2 AND id >= 1 + floor((ids.last - 1) * (n + random()) / 16)
  ORDER BY id LIMIT 1) r;

-- name: measure_company
-- The number of live companies and of their links, and the mean bytes of texts in a random sample over all ids.
SELECT (SELECT coalesce(sum(count), 0)::bigint FROM totals
    WHERE shard = $1 AND workspace_id = $2 AND entity = 'company' AND status = ANY ($3::text[])) AS total,
  (coalesce(avg(r.contact_count), 0) * (SELECT coalesce(sum(count), 0) FROM totals
    WHERE shard = $1 AND workspace_id = $2 AND entity = 'company' AND status = ANY ($3::text[])))::bigint AS links,
  coalesce(avg(octet_length(r.name)), 0)::bigint AS name_bytes,
  coalesce(avg(octet_length(r.properties::text)), 0)::bigint AS properties_bytes,
  coalesce(avg(greatest(octet_length(r.domain), octet_length(r.industry), octet_length(r.size), octet_length(r.plan), octet_length(r.website), octet_length(r.phone))), 0)::bigint AS other_bytes
FROM (SELECT max(id) AS last FROM companies WHERE shard = $1 AND workspace_id = $2) ids
CROSS JOIN generate_series(0, 15) n
CROSS JOIN LATERAL (SELECT * FROM companies
  WHERE shard = $1 AND workspace_id = $2 AND id >= 1 + floor((ids.last - 1) * (n + random()) / 16)
  ORDER BY id LIMIT 1) r;
