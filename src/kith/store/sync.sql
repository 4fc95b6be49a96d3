-- name: take_turn
-- The seconds to wait for one's turn. $2: the seconds between turns; $3: how many may come at once.
INSERT INTO sync_turns AS t (key, due_at) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (key) DO UPDATE SET
  due_at = greatest(t.due_at, t.postponed_until, clock_timestamp() - make_interval(secs => $2 * ($3::int - 1)))
    + make_interval(secs => $2)
RETURNING extract(epoch FROM due_at - make_interval(secs => $2) - clock_timestamp())::float8;

-- name: find_postponed
-- When turns go on, while they do not.
SELECT postponed_until FROM sync_turns WHERE key = $1 AND postponed_until > clock_timestamp();

-- name: postpone_turns
INSERT INTO sync_turns AS t (key, due_at, postponed_until)
VALUES ($1, clock_timestamp(), clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (key) DO UPDATE SET postponed_until = greatest(t.postponed_until, excluded.postponed_until);

-- name: take_place
-- One of $2 places that is free, for $3 seconds at most; none where all are taken.
INSERT INTO sync_places AS p (key, place, taken_until)
SELECT $1, place, clock_timestamp() + make_interval(secs => $3) FROM (
  SELECT place FROM generate_series(1, $2::int) AS place
  WHERE NOT EXISTS (SELECT FROM sync_places o WHERE o.key = $1 AND o.place = place.place AND o.taken_until > clock_timestamp())
  ORDER BY random() LIMIT 1) AS free
ON CONFLICT (key, place) DO UPDATE SET taken_until = excluded.taken_until WHERE p.taken_until <= clock_timestamp()
RETURNING place, taken_until;

-- name: keep_place
-- For $4 seconds from now, unless another has it by now: $3 is until when one had it oneself.
UPDATE sync_places SET taken_until = clock_timestamp() + make_interval(secs => $4)
WHERE key = $1 AND place = $2 AND taken_until = $3 RETURNING taken_until;

-- name: read_feed
SELECT sequence, type, resource, data FROM events
WHERE shard = $1 AND workspace_id = $2 AND sequence > $3 ORDER BY sequence LIMIT $4;

-- name: move_feed
UPDATE integrations SET feed_sequence = $4 WHERE shard = $1 AND workspace_id = $2 AND id = $3;

-- name: save_jobs
-- One for each record; what is there already is due again, whatever became of it before.
INSERT INTO sync_jobs AS j (shard, workspace_id, integration_id, entity, record_id, sequence, generation, status, due_at,
  begun, attempts)
SELECT $1, $2, $3, entity, record_id, sequence, 1, 'PENDING', $7, false, 0
FROM unnest($4::text[], $5::bigint[], $6::bigint[]) AS wanted (entity, record_id, sequence)
ON CONFLICT (shard, workspace_id, integration_id, entity, record_id) DO UPDATE SET
  sequence = CASE WHEN j.status = 'DEAD' THEN excluded.sequence ELSE least(j.sequence, excluded.sequence) END,
  generation = j.generation + 1, status = 'PENDING', due_at = excluded.due_at, attempts = 0, failing_since = NULL,
  failure = NULL;

-- name: save_jobs_of_company
-- The contacts of these companies: their associations, or with $4 = 'contact' they themselves.
INSERT INTO sync_jobs AS j (shard, workspace_id, integration_id, entity, record_id, sequence, generation, status, due_at,
  begun, attempts)
SELECT DISTINCT $1::smallint, $2::int, $3::bigint, $4::text, a.contact_id, $6::bigint, 1, 'PENDING', $7::timestamptz,
  false, 0
FROM unnest($5::bigint[]) AS wanted (company_id) CROSS JOIN LATERAL (
  SELECT contact_id FROM associations a
  WHERE a.shard = $1 AND a.workspace_id = $2 AND a.company_id = wanted.company_id OFFSET 0) a
ON CONFLICT (shard, workspace_id, integration_id, entity, record_id) DO UPDATE SET
  generation = j.generation + 1, status = 'PENDING', due_at = excluded.due_at, attempts = 0, failing_since = NULL,
  failure = NULL;

-- name: save_jobs_of_tag
INSERT INTO sync_jobs AS j (shard, workspace_id, integration_id, entity, record_id, sequence, generation, status, due_at,
  begun, attempts)
SELECT $1::smallint, $2::int, $3::bigint, 'contact', g.record_id, $5::bigint, 1, 'PENDING', $6::timestamptz, false, 0
FROM taggings g
WHERE g.shard = $1 AND g.workspace_id = $2 AND g.tag_id = $4 AND g.entity = 'contact'
ON CONFLICT (shard, workspace_id, integration_id, entity, record_id) DO UPDATE SET
  generation = j.generation + 1, status = 'PENDING', due_at = excluded.due_at, attempts = 0, failing_since = NULL,
  failure = NULL;

-- name: save_jobs_of_tagged
-- A tag is gone, and with it who had it: all contacts that have any there are looked at.
INSERT INTO sync_jobs AS j (shard, workspace_id, integration_id, entity, record_id, sequence, generation, status, due_at,
  begun, attempts)
SELECT $1::smallint, $2::int, $3::bigint, 'contact', l.record_id, $4::bigint, 1, 'PENDING', $5::timestamptz, false, 0
FROM sync_links l
WHERE l.shard = $1 AND l.workspace_id = $2 AND l.integration_id = $3 AND l.entity = 'contact'
  AND jsonb_typeof(l.details -> 'tags') = 'array' AND l.details -> 'tags' <> '[]'
ON CONFLICT (shard, workspace_id, integration_id, entity, record_id) DO UPDATE SET
  generation = j.generation + 1, status = 'PENDING', due_at = excluded.due_at, attempts = 0, failing_since = NULL,
  failure = NULL;

-- name: save_jobs_of_contacts
-- What hangs on contacts that are newly linked: their activities and associations, of which $7 are wanted.
INSERT INTO sync_jobs AS j (shard, workspace_id, integration_id, entity, record_id, sequence, generation, status, due_at,
  begun, attempts)
SELECT $1::smallint, $2::int, $3::bigint, found.entity, found.record_id, $5::bigint, 1, 'PENDING', $6::timestamptz,
  false, 0
FROM unnest($4::bigint[]) AS wanted (contact_id) CROSS JOIN LATERAL (
  SELECT 'activity' AS entity, a.id AS record_id FROM activities a
  WHERE a.shard = $1 AND a.workspace_id = $2 AND a.contact_id = wanted.contact_id
  UNION ALL
  SELECT 'association', wanted.contact_id WHERE EXISTS (
    SELECT FROM associations o WHERE o.shard = $1 AND o.workspace_id = $2 AND o.contact_id = wanted.contact_id)
  OFFSET 0) AS found
WHERE found.entity = ANY($7::text[])
ON CONFLICT (shard, workspace_id, integration_id, entity, record_id) DO UPDATE SET
  generation = j.generation + 1, status = 'PENDING', due_at = excluded.due_at, attempts = 0, failing_since = NULL,
  failure = NULL;

-- name: list_window_contact
SELECT id FROM contacts WHERE shard = $1 AND workspace_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: list_window_company
SELECT id FROM companies WHERE shard = $1 AND workspace_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: list_window_activity
SELECT id FROM activities WHERE shard = $1 AND workspace_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: list_window_association
-- Contacts that have companies.
SELECT DISTINCT contact_id AS id FROM associations WHERE shard = $1 AND workspace_id = $2 AND contact_id > $3
ORDER BY contact_id LIMIT $4;

-- name: save_sync
UPDATE integrations SET sync = $4::jsonb, synced_at = coalesce($5, synced_at)
WHERE shard = $1 AND workspace_id = $2 AND id = $3;

-- name: count_jobs
-- Those that are to be sent, up to a number of them.
SELECT count(*) FROM (
  SELECT FROM sync_jobs WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND status = 'PENDING'
  LIMIT $4) AS counted;

-- name: claim_jobs
SELECT record_id, generation, begun, attempts, failing_since FROM sync_jobs
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND status = 'PENDING' AND entity = $4 AND due_at <= $5
ORDER BY sequence, record_id LIMIT $6;

-- name: begin_jobs
-- Whatever becomes of who sends them, nobody does so again before $6.
UPDATE sync_jobs SET begun = true, due_at = greatest(due_at, $6)
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND record_id = ANY($5::bigint[])
  AND NOT (begun AND due_at >= $6);

-- name: delete_jobs
-- What changed meanwhile stays.
DELETE FROM sync_jobs AS j USING unnest($5::bigint[], $6::int[]) AS done (record_id, generation)
WHERE j.shard = $1 AND j.workspace_id = $2 AND j.integration_id = $3 AND j.entity = $4
  AND j.record_id = done.record_id AND j.generation = done.generation;

-- name: delete_jobs_of_others
-- Of what is not to be sent any more, as the settings have it now.
DELETE FROM sync_jobs
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity <> ALL($4::text[]);

-- name: postpone_jobs
UPDATE sync_jobs AS j SET attempts = j.attempts + 1, failing_since = coalesce(j.failing_since, $5), status = row.status,
  due_at = row.due_at, failure = row.failure
FROM jsonb_to_recordset($6::jsonb) AS row (record_id bigint, generation int, status text, due_at timestamptz,
  failure jsonb)
WHERE j.shard = $1 AND j.workspace_id = $2 AND j.integration_id = $3 AND j.entity = $4 AND j.record_id = row.record_id
  AND j.generation = row.generation;

-- name: load_links
SELECT record_id, external_id, hash, state, details FROM sync_links
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND record_id = ANY($5::bigint[]);

-- name: save_links
INSERT INTO sync_links (shard, workspace_id, integration_id, entity, record_id, external_id, hash, state, details,
  synced_at)
SELECT $1, $2, $3, $4, record_id, external_id, hash, state, details, $6
FROM jsonb_to_recordset($5::jsonb) AS row (record_id bigint, external_id text, hash text, state text, details jsonb)
ON CONFLICT (shard, workspace_id, integration_id, entity, record_id) DO UPDATE SET external_id = excluded.external_id,
  hash = excluded.hash, state = excluded.state, details = excluded.details, synced_at = excluded.synced_at;

-- name: release_links
-- Before a link takes an id there from another record: each of theirs is one of ours.
DELETE FROM sync_links
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND entity IN ('contact', 'company')
  AND external_id = ANY($5::text[]) AND record_id <> ALL($6::bigint[]);

-- name: delete_links
DELETE FROM sync_links
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND record_id = ANY($5::bigint[]);

-- name: load_activities
SELECT a.id, json_build_object('external_id', a.external_id, 'number', a.id, 'contact_id', '',
  'contact_number', a.contact_id, 'type', a.type, 'module', a.module, 'content', a.content,
  'properties', a.properties, 'occurred_at', a.occurred_at, 'created_at', a.created_at)::text AS document
FROM unnest($3::bigint[]) AS wanted (id) CROSS JOIN LATERAL (
  SELECT * FROM activities a WHERE a.shard = $1 AND a.workspace_id = $2 AND a.id = wanted.id OFFSET 0) a;

-- name: list_suppressed
SELECT email_hash FROM sync_suppressions
WHERE shard = $1 AND workspace_id = $2 AND email_hash = ANY($3::bytea[]);

-- name: suppress
INSERT INTO sync_suppressions (shard, workspace_id, email_hash, reason, at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING;

-- name: list_status
-- Where a contact is, at each integration that has it or is to have it.
SELECT i.id, i.name, i.provider, i.status AS integration_status, l.external_id, l.synced_at, l.hash, l.state,
  j.status AS job_status, j.failure
FROM integrations i
LEFT JOIN LATERAL (SELECT * FROM sync_links l WHERE l.shard = $1 AND l.workspace_id = $2 AND l.integration_id = i.id
  AND l.entity = 'contact' AND l.record_id = $3 OFFSET 0) l ON true
LEFT JOIN LATERAL (SELECT * FROM sync_jobs j WHERE j.shard = $1 AND j.workspace_id = $2 AND j.integration_id = i.id
  AND j.entity = 'contact' AND j.record_id = $3 OFFSET 0) j ON true
WHERE i.shard = $1 AND i.workspace_id = $2 AND i.status <> 'DELETED' AND (l.record_id IS NOT NULL OR j.record_id IS NOT NULL)
ORDER BY i.id;

-- name: list_dead
SELECT entity, record_id, attempts, failing_since, failure FROM sync_jobs
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND status = 'DEAD'
ORDER BY entity, sequence, record_id LIMIT $4;

-- name: retry_dead
UPDATE sync_jobs SET status = 'PENDING', attempts = 0, failing_since = NULL, due_at = $4, generation = generation + 1
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND status = 'DEAD'
  AND ($5::text IS NULL OR entity = $5) AND ($6::bigint IS NULL OR record_id = $6);

-- name: discard_dead
DELETE FROM sync_jobs
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND status = 'DEAD'
  AND ($4::text IS NULL OR entity = $4) AND ($5::bigint IS NULL OR record_id = $5);

-- name: find_linked
-- Which record of ours one of theirs is.
SELECT record_id, external_id, hash, state, details FROM sync_links
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND external_id = $5
  AND entity IN ('contact', 'company');

-- name: mark_removed
UPDATE sync_links SET state = 'REMOVED'
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND record_id = $5;

-- name: mark_back
UPDATE sync_links SET state = 'SYNCED', hash = ''
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND record_id = $5
  AND state = 'REMOVED'
RETURNING record_id;

-- name: mark_linked
UPDATE sync_links SET state = $6, hash = ''
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND external_id = $5
  AND entity IN ('contact', 'company')
RETURNING record_id;

-- name: save_consent
-- Nothing where it is known already.
UPDATE sync_links l SET consent = $6
FROM (SELECT record_id, consent FROM sync_links o WHERE o.shard = $1 AND o.workspace_id = $2 AND o.integration_id = $3
  AND o.entity = $4 AND o.record_id = $5 FOR UPDATE) AS before
WHERE l.shard = $1 AND l.workspace_id = $2 AND l.integration_id = $3 AND l.entity = $4 AND l.record_id = $5
  AND l.consent IS DISTINCT FROM $6
RETURNING before.consent AS was;

-- name: relink
UPDATE sync_links SET external_id = $6, hash = ''
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND record_id = $5;

-- name: move_link
-- Whoever was known there by another email is known by $6 from now on.
UPDATE sync_links SET details = details || jsonb_build_object('email', $6::text)
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND record_id = $5
  AND lower(details ->> 'email') IS DISTINCT FROM lower($6)
RETURNING record_id;

-- name: forget_hash
UPDATE sync_links SET hash = ''
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND record_id = $5;

-- name: has_link
SELECT record_id FROM sync_links
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = $4 AND record_id = $5;

-- name: count_sync
-- Of all workspaces, for who watches over the whole; of each integration up to 100,000.
SELECT i.provider, coalesce(sum(j.pending), 0)::bigint AS pending, coalesce(sum(j.failed), 0)::bigint AS failed,
  count(*) FILTER (WHERE i.status = 'PAUSED' AND i.problem IS NOT NULL) AS paused
FROM integrations i LEFT JOIN LATERAL (
  SELECT count(*) FILTER (WHERE j.status = 'PENDING') AS pending, count(*) FILTER (WHERE j.status = 'DEAD') AS failed
  FROM (SELECT j.status FROM sync_jobs j
    WHERE j.shard = i.shard AND j.workspace_id = i.workspace_id AND j.integration_id = i.id LIMIT 100000) j) j ON true
WHERE i.status <> 'DELETED' GROUP BY i.provider ORDER BY i.provider;

-- name: find_heard
SELECT heard FROM sync_links
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = 'contact' AND record_id = $4;

-- name: save_heard
UPDATE sync_links SET heard = heard || $5::jsonb
WHERE shard = $1 AND workspace_id = $2 AND integration_id = $3 AND entity = 'contact' AND record_id = $4;

-- name: find_last_change
-- The last update of a contact that changed the field $4.
SELECT operation_id, at FROM events
WHERE shard = $1 AND workspace_id = $2 AND resource = $3 AND type = 'contact.updated' AND data -> 'changes' ? $4
ORDER BY sequence DESC LIMIT 1;

-- name: list_merged_emails
-- Those of the emails that a merged contact has: at HubSpot, the record of its winner still answers to them.
SELECT DISTINCT email FROM contacts
WHERE shard = $1 AND workspace_id = $2 AND email = ANY($3::text[]) AND status = 'MERGED';

-- name: find_segment
-- The number of the list that is a segment.
SELECT id FROM lists WHERE shard = $1 AND workspace_id = $2 AND external_id = $3;

-- name: list_segment_contacts
-- Those of the contacts that are members.
SELECT record_id FROM list_members
WHERE shard = $1 AND workspace_id = $2 AND list_id = $3 AND entity = 'contact' AND record_id = ANY($4::bigint[]);

-- name: list_segment_companies
-- Those of the companies that have a member among their contacts.
SELECT wanted.company_id AS record_id FROM unnest($4::bigint[]) AS wanted (company_id)
WHERE EXISTS (SELECT 1 FROM associations a
  JOIN list_members m ON m.shard = $1 AND m.workspace_id = $2 AND m.list_id = $3 AND m.entity = 'contact'
    AND m.record_id = a.contact_id
  WHERE a.shard = $1 AND a.workspace_id = $2 AND a.company_id = wanted.company_id);

-- name: save_jobs_of_companies
-- The companies of these contacts.
INSERT INTO sync_jobs AS j (shard, workspace_id, integration_id, entity, record_id, sequence, generation, status, due_at,
  begun, attempts)
SELECT DISTINCT $1::smallint, $2::int, $3::bigint, 'company', a.company_id, $5::bigint, 1, 'PENDING', $6::timestamptz,
  false, 0
FROM unnest($4::bigint[]) AS wanted (contact_id) CROSS JOIN LATERAL (
  SELECT company_id FROM associations a
  WHERE a.shard = $1 AND a.workspace_id = $2 AND a.contact_id = wanted.contact_id OFFSET 0) a
ON CONFLICT (shard, workspace_id, integration_id, entity, record_id) DO UPDATE SET
  generation = j.generation + 1, status = 'PENDING', due_at = excluded.due_at, attempts = 0, failing_since = NULL,
  failure = NULL;
