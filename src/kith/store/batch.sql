-- What every batch has, whatever it is about.

-- name: load_counters
SELECT workspace_id, next_contact_number, next_company_number, next_tag_number, next_activity_number,
  next_list_number, next_property_number, next_event_sequence
FROM counters WHERE shard = $1 AND workspace_id = ANY ($2::int[]);

-- name: save_counters
INSERT INTO counters (shard, workspace_id, next_contact_number, next_company_number, next_tag_number,
  next_activity_number, next_list_number, next_property_number, next_event_sequence)
SELECT $1, workspace_id, next_contact_number, next_company_number, next_tag_number, next_activity_number,
  next_list_number, next_property_number, next_event_sequence
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, next_contact_number bigint, next_company_number bigint,
  next_tag_number bigint, next_activity_number bigint, next_list_number bigint,
  next_property_number bigint,
  next_event_sequence bigint)
ON CONFLICT (shard, workspace_id) DO UPDATE
SET next_contact_number = excluded.next_contact_number, next_company_number = excluded.next_company_number,
  next_tag_number = excluded.next_tag_number, next_activity_number = excluded.next_activity_number,
  next_list_number = excluded.next_list_number, next_property_number = excluded.next_property_number,
  next_event_sequence = excluded.next_event_sequence;

-- name: add_totals
INSERT INTO totals (shard, workspace_id, entity, status, stage, count)
SELECT $1, workspace_id, entity, status, stage, count
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, entity text, status text, stage text, count bigint)
ON CONFLICT (shard, workspace_id, entity, status, stage) DO UPDATE SET count = totals.count + excluded.count;
