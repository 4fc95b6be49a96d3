-- Roles of the embedded server. The role `kith` made the cluster and is its superuser; Kith works as `kith_app`.
-- name: find_everyday_role
SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = 'kith_app';
-- All or nothing, in the database `kith`. Where the role exists it owns that database, and this must not run there any more.
-- name: make_everyday_role
DO $$
DECLARE
  one record;
BEGIN
  CREATE ROLE kith_app LOGIN CREATEDB NOSUPERUSER NOCREATEROLE NOREPLICATION;
  ALTER DATABASE kith OWNER TO kith_app;
  -- A cluster of an earlier version: what the superuser owns there becomes the role's. A sequence of a column follows its
  -- table, and what an extension owns stays.
  FOR one IN
    SELECT format('ALTER TABLE %s OWNER TO kith_app', c.oid::regclass) AS statement
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i', 'e') AND c.relkind = 'S')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT format('ALTER ROUTINE %s OWNER TO kith_app', p.oid::regprocedure)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT format('ALTER SCHEMA %I OWNER TO kith_app', n.nspname)
    FROM pg_namespace n
    WHERE n.nspname NOT IN ('information_schema', 'public') AND n.nspname !~ '^pg_'
  LOOP
    EXECUTE one.statement;
  END LOOP;
END
$$;
-- What a role may do beyond its own database, of what a dump could make use of.
-- name: find_rights
SELECT current_user AS role, coalesce(
  (SELECT 'superuser' FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper),
  (
    SELECT min(rolname)::text FROM pg_catalog.pg_roles
    WHERE rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
      AND pg_has_role(current_user, oid, 'MEMBER')
  )
) AS rights;
