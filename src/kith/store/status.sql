-- name: load_server
SELECT current_setting('server_version') AS version, current_database() AS name,
  pg_database_size(current_database()) AS bytes, (SELECT max(version) FROM schema_migrations) AS schema;

-- name: load_shards
SELECT h.shard, h.position AS head, c.position AS cursor,
  (SELECT count(*) FROM dead_letters AS d WHERE d.shard = h.shard AND d.retry_position IS NULL) AS dead
FROM log_head AS h JOIN cursors AS c ON c.shard = h.shard ORDER BY h.shard;

-- name: load_workspace_rows
SELECT w.id, w.name, w.shard, coalesce(sum(t.count) FILTER (WHERE t.entity = 'contact'), 0)::bigint AS contacts
FROM workspaces AS w LEFT JOIN totals AS t ON t.shard = w.shard AND t.workspace_id = w.id
GROUP BY w.id, w.name, w.shard ORDER BY w.id;
