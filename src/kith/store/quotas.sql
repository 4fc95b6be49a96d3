-- name: load_usage
-- What a workspace uses of each quota, and the position of the log up to which that is counted: one snapshot.
SELECT (SELECT position FROM cursors WHERE shard = $1) AS applied,
  t.contacts, t.companies, l.lists, l.dynamic_lists, l.text_conditions,
  (SELECT count(*) FROM tags WHERE shard = $1 AND workspace_id = $2) AS tags,
  p.contact_properties, p.company_properties, p.association_properties,
  (SELECT count(*) FROM integrations WHERE shard = $1 AND workspace_id = $2 AND status <> 'DELETED') AS integrations,
  coalesce(c.next_activity_number - 1, 0) AS activities,
  coalesce(c.history_bytes, 0) AS bytes
FROM (
  SELECT coalesce(sum(count) FILTER (WHERE entity = 'contact'), 0)::bigint AS contacts,
    coalesce(sum(count) FILTER (WHERE entity = 'company'), 0)::bigint AS companies
  FROM totals WHERE shard = $1 AND workspace_id = $2 AND status IN ('ACTIVE', 'ARCHIVED')
) t CROSS JOIN (
  SELECT count(*) AS lists, count(*) FILTER (WHERE is_dynamic) AS dynamic_lists,
    coalesce(sum(text_conditions), 0)::bigint AS text_conditions
  FROM lists WHERE shard = $1 AND workspace_id = $2
) l CROSS JOIN (
  SELECT count(*) FILTER (WHERE entity = 'CONTACT') AS contact_properties,
    count(*) FILTER (WHERE entity = 'COMPANY') AS company_properties,
    count(*) FILTER (WHERE entity = 'CONTACT_COMPANY') AS association_properties
  FROM properties WHERE shard = $1 AND workspace_id = $2 AND status = 'ACTIVE'
) p LEFT JOIN counters c ON c.shard = $1 AND c.workspace_id = $2;
