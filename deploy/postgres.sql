-- Run once, when the container of PostgreSQL makes its data: the database, owned by a role that is no superuser.
\getenv secret POSTGRES_PASSWORD
CREATE ROLE kith LOGIN PASSWORD :'secret';
CREATE DATABASE kith OWNER kith;
-- From now on, the superuser connects from inside the container only.
ALTER ROLE postgres PASSWORD NULL;
