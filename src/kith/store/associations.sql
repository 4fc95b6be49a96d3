-- name: delete_associations
DELETE FROM associations USING jsonb_to_recordset($2::jsonb) AS row (workspace_id int, contact bigint, company bigint)
WHERE associations.shard = $1 AND associations.workspace_id = row.workspace_id
  AND associations.contact_id = row.contact AND associations.company_id = row.company;

-- name: save_associations
-- Those that are not primary first: a new primary one takes over from the old one row by row.
INSERT INTO associations (shard, workspace_id, contact_id, company_id, role, is_primary, properties,
  folded)
SELECT $1, workspace_id, contact, company, role, is_primary, properties, folded
FROM jsonb_to_recordset($2::jsonb) AS row (workspace_id int, contact bigint, company bigint, role text,
  is_primary boolean, properties jsonb, folded jsonb)
ORDER BY is_primary
ON CONFLICT (shard, workspace_id, contact_id, company_id) DO UPDATE
SET role = excluded.role, is_primary = excluded.is_primary, properties = excluded.properties,
  folded = excluded.folded;
