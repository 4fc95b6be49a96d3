-- What every batch has, whatever it is about.

-- name: load_batch_start
-- What the workspaces hand out next, and which of the operations are known (with an id, and no counters). The OFFSET
-- keeps the planner from turning the join round while the day's partition is young and it takes it for empty.
SELECT workspace_id, NULL AS operation_id, next_contact_number, next_company_number, next_tag_number,
  next_activity_number, next_list_number, next_property_number, next_event_sequence, history_bytes
FROM counters WHERE shard = $1 AND workspace_id = ANY ($2::int[])
UNION ALL
SELECT wanted.workspace_id, wanted.id, 0, 0, 0, 0, 0, 0, 0, 0
FROM unnest($3::int[], $4::text[]) AS wanted (workspace_id, id)
CROSS JOIN LATERAL (
  SELECT 1 FROM operations o
  WHERE o.shard = $1 AND o.workspace_id = wanted.workspace_id AND o.id = wanted.id
    AND o.created_at >= $5 AND o.created_at < $6
  OFFSET 0
) known;

-- name: save_outcome
-- What a batch ends with, in one round trip: events ($2), operations ($3), what totals change by ($4), counters ($5).
WITH told AS (
  INSERT INTO events (shard, workspace_id, sequence, type, resource, operation_id, at, actor, data)
  SELECT $1, workspace_id, sequence, type, resource, operation_id, at, actor, data
  FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, sequence bigint, type text, resource text,
    operation_id text, at timestamptz, actor jsonb, data jsonb)
), ended AS (
  INSERT INTO operations (shard, workspace_id, id, type, status, position, resource, error, result, fingerprint,
    answer, actor, created_at, applied_at)
  SELECT $1, workspace_id, id, type, status, position, resource, error, result, fingerprint, answer, actor, created_at,
    applied_at
  FROM jsonb_to_recordset($3::jsonb) AS row (workspace_id int, id text, type text, status text, position bigint,
    resource text, error jsonb, result jsonb, fingerprint text, answer text, actor jsonb,
    created_at timestamptz, applied_at timestamptz)
), counted AS (
  INSERT INTO totals (shard, workspace_id, entity, status, stage, count)
  SELECT $1, workspace_id, entity, status, stage, count
  FROM jsonb_to_recordset($4::jsonb) AS row (workspace_id int, entity text, status text, stage text, count bigint)
  ON CONFLICT (shard, workspace_id, entity, status, stage) DO UPDATE SET count = totals.count + excluded.count
)
INSERT INTO counters (shard, workspace_id, next_contact_number, next_company_number, next_tag_number,
  next_activity_number, next_list_number, next_property_number, next_event_sequence, history_bytes)
SELECT $1, workspace_id, next_contact_number, next_company_number, next_tag_number, next_activity_number,
  next_list_number, next_property_number, next_event_sequence, history_bytes
FROM jsonb_to_recordset($5::jsonb) AS row (workspace_id int, next_contact_number bigint, next_company_number bigint,
  next_tag_number bigint, next_activity_number bigint, next_list_number bigint, next_property_number bigint,
  next_event_sequence bigint, history_bytes bigint)
ON CONFLICT (shard, workspace_id) DO UPDATE
SET next_contact_number = excluded.next_contact_number, next_company_number = excluded.next_company_number,
  next_tag_number = excluded.next_tag_number, next_activity_number = excluded.next_activity_number,
  next_list_number = excluded.next_list_number, next_property_number = excluded.next_property_number,
  next_event_sequence = excluded.next_event_sequence, history_bytes = excluded.history_bytes;
