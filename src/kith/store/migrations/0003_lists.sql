-- Lists. The rules of 0001 hold: see there.

ALTER TABLE counters ADD COLUMN next_list_number bigint NOT NULL DEFAULT 1;

CREATE TABLE lists (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  id bigint NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  name_key text COLLATE "C" NOT NULL,
  description text COLLATE "C",
  entity_type text COLLATE "C" NOT NULL,
  is_dynamic boolean NOT NULL,
  filter_criteria jsonb,
  member_count bigint NOT NULL,
  evaluated_at timestamptz,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  version int NOT NULL,
  -- get by number; ties of every sort
  PRIMARY KEY (shard, workspace_id, id)
) WITH (fillfactor = 85);
-- list by createdAt
CREATE INDEX lists_created ON lists (shard, workspace_id, created_at, id);
-- list by name
CREATE INDEX lists_name ON lists (shard, workspace_id, name_key, id);
-- get by external id; the writer's load of a batch
CREATE UNIQUE INDEX lists_external_id ON lists (shard, workspace_id, external_id);

-- Who is on which list; a list has members of one kind, ``entity`` is 'contact' or 'company'.
CREATE TABLE list_members (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  list_id bigint NOT NULL,
  entity text COLLATE "C" NOT NULL,
  record_id bigint NOT NULL,
  -- a list's members
  PRIMARY KEY (shard, workspace_id, list_id, entity, record_id)
);
-- a record's lists
CREATE UNIQUE INDEX list_members_record ON list_members (shard, workspace_id, entity, record_id, list_id);
