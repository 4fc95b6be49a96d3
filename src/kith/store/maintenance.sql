-- name: list_grown
-- Tables that have grown by more than a half since the planner last looked, and are not so large that it takes long.
SELECT c.oid::regclass::text AS name
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE c.relname IN ('contacts', 'companies', 'associations', 'tags', 'taggings', 'activities', 'lists', 'list_members',
    'properties')
  AND s.n_mod_since_analyze > 50 + 0.5 * greatest(c.reltuples, 0) AND c.reltuples < 1000000;

-- name: has_writer
SELECT EXISTS (
  SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'kith writer'
);
