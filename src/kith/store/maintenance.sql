-- name: list_grown
-- Tables that have doubled since the planner last looked, and are not so large that it takes long.
-- Asked of the counters themselves: the view of them joins all tables of the schema, and costs thirty times as much.
SELECT c.oid::regclass::text AS name
FROM pg_class c
WHERE c.oid = ANY ('{contacts, companies, associations, tags, taggings, activities, lists, list_members,
    properties}'::regclass[])
  AND pg_stat_get_mod_since_analyze(c.oid) > 50 + greatest(c.reltuples, 0) AND c.reltuples < 1000000;

-- name: has_writer
SELECT EXISTS (
  SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'kith writer'
);
