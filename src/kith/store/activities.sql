-- name: load_activities
-- One JSON document for each activity named by external id or number. Arrays and OFFSETs as in load_contacts.
WITH found AS (
  SELECT a.* FROM unnest($2::int[], $3::text[]) AS wanted (workspace_id, external_id) CROSS JOIN LATERAL (
    SELECT * FROM activities a
    WHERE a.shard = $1 AND a.workspace_id = wanted.workspace_id AND a.external_id = wanted.external_id OFFSET 0) a
  UNION ALL
  SELECT a.* FROM unnest($4::int[], $5::bigint[]) AS wanted (workspace_id, id) CROSS JOIN LATERAL (
    SELECT * FROM activities a
    WHERE a.shard = $1 AND a.workspace_id = wanted.workspace_id AND a.id = wanted.id OFFSET 0) a
)
SELECT found.workspace_id, json_build_object(
  'external_id', found.external_id, 'number', found.id, 'contact_id', c.external_id, 'contact_number', c.id,
  'type', found.type, 'module', found.module, 'content', found.content, 'properties', found.properties,
  'occurred_at', found.occurred_at, 'created_at', found.created_at)::text AS document
FROM found CROSS JOIN LATERAL (
  SELECT * FROM contacts c
  WHERE c.shard = $1 AND c.workspace_id = found.workspace_id AND c.id = found.contact_id OFFSET 0) c;

-- name: insert_activities
INSERT INTO activities (shard, workspace_id, id, external_id, contact_id, type, module, content, properties,
  occurred_at, created_at)
SELECT $1, workspace_id, number, external_id, contact_number, type, module, content, properties, occurred_at,
  created_at
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, number bigint, external_id text, contact_number bigint,
  type text, module text, content text, properties jsonb, occurred_at timestamptz, created_at timestamptz);

-- name: save_merges
-- The sides as they were, and the activities that come over: written down before they move. Of what a side is linked to
-- only what the link holds, and only what is there: a copy of a company's name is as old as the batch.
INSERT INTO merges (shard, workspace_id, loser_id, winner_id, at, moved)
SELECT $1, row.workspace_id, row.loser, row.winner, row.at, jsonb_build_object('activities', coalesce((
  SELECT jsonb_agg(a.id ORDER BY a.id) FROM activities a
  WHERE a.shard = $1 AND a.workspace_id = row.workspace_id AND a.contact_id = row.loser), '[]')) || (
  SELECT jsonb_object_agg(side.key, side.value || jsonb_build_object(
    'companies', (
      SELECT coalesce(jsonb_agg(link - '{name,domain,live}'::text[] ORDER BY (link ->> 'number')::bigint), '[]')
      FROM jsonb_array_elements(side.value -> 'companies') link),
    'tags', (
      SELECT coalesce(jsonb_agg(link - '{key,name,color}'::text[] ORDER BY t.id), '[]')
      FROM jsonb_array_elements(side.value -> 'tags') link CROSS JOIN LATERAL (
        SELECT t.id FROM tags t
        WHERE t.shard = $1 AND t.workspace_id = row.workspace_id AND t.id = (link ->> 'number')::bigint OFFSET 0) t),
    'lists', (
      SELECT coalesce(jsonb_agg(link ORDER BY l.id), '[]')
      FROM jsonb_array_elements(side.value -> 'lists') link CROSS JOIN LATERAL (
        SELECT l.id FROM lists l
        WHERE l.shard = $1 AND l.workspace_id = row.workspace_id AND l.id = (link ->> 'number')::bigint OFFSET 0) l)))
  FROM jsonb_each(row.moved - 'activities') side)
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, loser bigint, winner bigint, at timestamptz, moved jsonb);

-- name: move_activities
UPDATE activities SET contact_id = row.target
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, loser bigint, target bigint)
WHERE activities.shard = $1 AND activities.workspace_id = row.workspace_id AND activities.contact_id = row.loser;
