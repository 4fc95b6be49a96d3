-- name: list_busy
-- A backend that has lost its client ends as soon as its statement does. An idle one is another's with the same number.
SELECT pid FROM pg_stat_activity WHERE pid = ANY ($1::int[]) AND state IS DISTINCT FROM 'idle';

-- name: count_room
-- How many more connections an ordinary role may open.
SELECT current_setting('max_connections')::bigint
  - current_setting('superuser_reserved_connections')::bigint
  - coalesce(current_setting('reserved_connections', true)::bigint, 0)
  - (SELECT sum(numbackends)::bigint FROM pg_stat_database);
