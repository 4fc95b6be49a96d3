-- name: insert_integration
-- Unless it is there, or its segment's own list is another's: that came with the same request at the same time.
INSERT INTO integrations (shard, workspace_id, id, external_id, provider, name, status, credentials, settings,
  feed_sequence, reconciled_at, created_at, updated_at, version, epoch, fingerprint,
  segment, when_leaving)
SELECT $1, $2, (SELECT coalesce(max(id), 0) + 1 FROM integrations WHERE shard = $1 AND workspace_id = $2),
  $3, $4, $5, 'ACTIVE', $6, $7::jsonb,
  coalesce((SELECT next_event_sequence - 1 FROM counters WHERE shard = $1 AND workspace_id = $2), 0), $8, $8, $8, 1, 1, $9,
  $10::jsonb, $11
WHERE NOT EXISTS (SELECT FROM integrations WHERE shard = $1 AND workspace_id = $2
  AND (external_id = $3 OR $10::jsonb ? 'where' AND segment->>'list' = $10::jsonb->>'list'))
RETURNING id;

-- name: list_external_ids
-- Of those that were deleted, too.
SELECT external_id, status FROM integrations WHERE shard = $1 AND workspace_id = $2;

-- name: list_integrations
SELECT i.*, j.pending, j.dead FROM integrations i CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE status = 'PENDING') AS pending, count(*) FILTER (WHERE status = 'DEAD') AS dead
  FROM (SELECT status FROM sync_jobs j WHERE j.shard = $1 AND j.workspace_id = $2 AND j.integration_id = i.id
    LIMIT 100000) AS counted) j
WHERE i.shard = $1 AND i.workspace_id = $2 AND i.status <> 'DELETED' ORDER BY i.id;

-- name: find_integration
SELECT i.*, j.pending, j.dead FROM integrations i CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE status = 'PENDING') AS pending, count(*) FILTER (WHERE status = 'DEAD') AS dead
  FROM (SELECT status FROM sync_jobs j WHERE j.shard = $1 AND j.workspace_id = $2 AND j.integration_id = i.id
    LIMIT 100000) AS counted) j
WHERE i.shard = $1 AND i.workspace_id = $2 AND (i.id = $3 OR i.external_id = $4) AND i.status <> 'DELETED';

-- name: update_integration
-- What is NULL stays as it is by then; $4 is the version that it has to have, NULL for any. What pauses or resumes also
-- lets go of the problem and the rest, and one that had a problem goes on.
UPDATE integrations SET name = coalesce($5, name), settings = coalesce($6::jsonb, settings),
  credentials = coalesce($7, credentials),
  status = coalesce($8, CASE WHEN problem IS NULL THEN status ELSE 'ACTIVE' END), problem = NULL, rests_until = NULL,
  updated_at = $9, version = version + 1, epoch = epoch + 1, segment = $10::jsonb, when_leaving = $11
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND version = coalesce($4, version) AND status <> 'DELETED'
RETURNING version;

-- name: delete_integration
-- $4 is the version that it has to have, NULL for any.
UPDATE integrations SET status = 'DELETED', credentials = '', settings = '{}', segment = NULL, problem = NULL, account = NULL,
  sync = NULL, owner = NULL, updated_at = $5, version = version + 1, epoch = epoch + 1
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND version = coalesce($4, version) AND status <> 'DELETED'
RETURNING version;

-- name: list_deleted
-- Of all workspaces.
SELECT shard, workspace_id, id FROM integrations WHERE status = 'DELETED';

-- name: delete_links_of_integration
-- Some at a time: there may be a million.
DELETE FROM sync_links WHERE shard = $1 AND ctid = ANY(ARRAY(
  SELECT ctid FROM sync_links WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 LIMIT $4));

-- name: delete_jobs_of_integration
DELETE FROM sync_jobs WHERE shard = $1 AND ctid = ANY(ARRAY(
  SELECT ctid FROM sync_jobs WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 LIMIT $4));

-- name: begin_sync
-- Everything is looked at again. One that is under way begins anew.
UPDATE integrations SET sync = $4::jsonb, epoch = epoch + 1 WHERE shard = $1 AND workspace_id = $2 AND id = $3 RETURNING id;

-- name: save_credentials
UPDATE integrations SET credentials = $4 WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND status <> 'DELETED';

-- name: load_credentials_to_change
-- Nobody else changes them until the transaction ends.
SELECT credentials FROM integrations WHERE shard = $1 AND workspace_id = $2 AND id = $3 FOR UPDATE;

-- name: list_all_credentials
-- Of all workspaces, for a change of the keys.
SELECT shard, workspace_id, id, external_id, credentials FROM integrations WHERE status <> 'DELETED';

-- name: show_life
-- A worker lives as long as its connection holds this lock; one that comes back waits until its old one is gone.
SELECT pg_advisory_lock(hashtextextended('kith worker ' || $1, 0));

-- name: list_active
-- Of all workspaces: what a worker may send for. Those that another worker owns are left out, as long as it lives.
SELECT shard, workspace_id, id FROM integrations
WHERE status = 'ACTIVE' AND (owner = $1 OR owned_until < clock_timestamp()
  OR pg_try_advisory_xact_lock_shared(hashtextextended('kith worker ' || owner, 0)))
ORDER BY owned_until, shard, workspace_id, id;

-- name: own_integration
-- $4 owns it for $5 seconds, unless another does who lives.
UPDATE integrations SET owner = $4, owned_until = clock_timestamp() + make_interval(secs => $5)
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND status = 'ACTIVE'
  AND (owner = $4 OR owned_until < clock_timestamp()
    OR pg_try_advisory_xact_lock_shared(hashtextextended('kith worker ' || owner, 0)))
RETURNING *, 0 AS pending, 0 AS dead;

-- name: release_integration
UPDATE integrations SET owner = NULL, owned_until = '-infinity'
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND owner = $4;

-- name: hold_integration
-- For the transaction: whoever does not own it any more saves nothing.
SELECT id FROM integrations
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND status = 'ACTIVE' AND owner = $4 AND epoch = $5
FOR SHARE;

-- name: look
-- Whether it is still held, and what there is to do: events behind the one that was read last, jobs that are due, and
-- when the next one is, of those that are looked at.
SELECT EXISTS (SELECT FROM integrations i WHERE i.shard = $1 AND i.workspace_id = $2 AND i.id = $3
    AND i.status = 'ACTIVE' AND i.owner = $4 AND i.epoch = $5) AS held,
  EXISTS (SELECT FROM events e WHERE e.shard = $1 AND e.workspace_id = $2 AND e.sequence > $6) AS has_events,
  (SELECT min(due_at) FROM (SELECT due_at FROM sync_jobs j
    WHERE j.shard = $1 AND j.workspace_id = $2 AND j.integration_id = $3 AND j.status = 'PENDING'
    LIMIT 1000) AS looked_at) AS due_at;

-- name: tell_changed
-- Whoever sends for integrations looks at once.
SELECT pg_notify('kith_sync', '');

-- name: save_account
UPDATE integrations SET account = $4::jsonb WHERE shard = $1 AND workspace_id = $2 AND id = $3;

-- name: pause_integration
UPDATE integrations SET status = 'PAUSED', problem = $4::jsonb, updated_at = $5, version = version + 1,
  epoch = epoch + 1
WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND status = 'ACTIVE' AND epoch = $6;

-- name: save_reconciled
UPDATE integrations SET reconciled_at = $4 WHERE shard = $1 AND workspace_id = $2 AND id = $3;

-- name: rest_integration
-- Unless somebody has changed it meanwhile, and with that let go of the rest.
UPDATE integrations SET rests_until = $4 WHERE shard = $1 AND workspace_id = $2 AND id = $3 AND epoch = $5;

-- name: count_syncable
-- Records of these entities, as many as a full sync looks at.
SELECT (CASE WHEN 'contact' = ANY($3::text[]) THEN
    (SELECT count(*) FROM contacts WHERE shard = $1 AND workspace_id = $2) ELSE 0 END)
  + (CASE WHEN 'company' = ANY($3::text[]) THEN
    (SELECT count(*) FROM companies WHERE shard = $1 AND workspace_id = $2) ELSE 0 END)
  + (CASE WHEN 'activity' = ANY($3::text[]) THEN
    (SELECT count(*) FROM activities WHERE shard = $1 AND workspace_id = $2) ELSE 0 END)
  + (CASE WHEN 'association' = ANY($3::text[]) THEN
    (SELECT count(DISTINCT contact_id) FROM associations WHERE shard = $1 AND workspace_id = $2) ELSE 0 END);

-- name: save_segment
UPDATE integrations SET segment = $4::jsonb WHERE shard = $1 AND workspace_id = $2 AND id = $3;
