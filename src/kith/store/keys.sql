-- name: next_key_id
SELECT coalesce(max(id), 0) + 1 FROM api_keys;

-- name: insert_key
INSERT INTO api_keys
  (shard, workspace_id, id, key_hash, hint, kind, scopes, tier, rate_per_s, batch_per_s, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: list_keys
SELECT k.id, w.name AS workspace, k.hint, k.kind, k.scopes, k.tier, k.rate_per_s, k.batch_per_s,
  k.created_at, k.expires_at, k.revoked_at
FROM api_keys AS k JOIN workspaces AS w ON w.id = k.workspace_id
WHERE $1::int IS NULL OR k.workspace_id = $1
ORDER BY k.id;

-- name: revoke_key
UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING id;

-- name: has_key
SELECT EXISTS (SELECT FROM api_keys WHERE key_hash = $1);
