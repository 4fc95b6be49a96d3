-- The one look-up that knows no workspace yet: the key tells it.
-- name: find_key
SELECT k.id AS key_id, k.kind, k.name AS name_of_key, k.scopes, k.tier, k.rate_per_s, k.batch_per_s, k.expires_at, k.revoked_at IS NOT NULL AS revoked,
  w.shard, w.id, w.name, w.timezone, coalesce((w.settings ->> 'strictProperties')::boolean, false) AS strict_properties,
  coalesce(w.settings -> 'quotas', '{}')::text AS quotas
FROM api_keys AS k JOIN workspaces AS w ON w.id = k.workspace_id
WHERE k.key_hash = $1;
