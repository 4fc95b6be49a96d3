-- name: sum
SELECT coalesce(sum(count), 0)::bigint FROM totals
WHERE shard = $1 AND workspace_id = $2 AND entity = $3 AND status = ANY ($4::text[])
  AND ($5::text[] IS NULL OR stage = ANY ($5::text[]));

-- name: find_tag_total
SELECT contact_count FROM tags WHERE shard = $1 AND workspace_id = $2 AND id = $3;

-- name: find_list_total
-- A list of companies has no contacts.
SELECT member_count FROM lists WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND entity_type = $4;
