-- name: next_key_id
SELECT coalesce(max(id), 0) + 1 FROM api_keys;

-- name: insert_key
INSERT INTO api_keys
  (shard, workspace_id, id, key_hash, hint, kind, name, scopes, tier, rate_per_s, batch_per_s, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: list_keys
SELECT k.id, w.name AS workspace, k.hint, k.kind, k.name, k.scopes, k.tier, k.rate_per_s, k.batch_per_s,
  k.created_at, k.expires_at, k.revoked_at, k.last_used_at
FROM api_keys AS k JOIN workspaces AS w ON w.id = k.workspace_id
WHERE $1::int IS NULL OR k.workspace_id = $1
ORDER BY k.id;

-- name: revoke_key
UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING id;

-- name: note_used
-- At ($1, $2), the key and the time; processes that share the keys write each at most once in $3.
UPDATE api_keys AS k SET last_used_at = used.at
FROM unnest($1::bigint[], $2::timestamptz[]) AS used (id, at)
WHERE k.id = used.id AND (k.last_used_at IS NULL OR k.last_used_at + $3::interval <= used.at);

-- name: has_key
SELECT EXISTS (SELECT FROM api_keys WHERE key_hash = $1);
