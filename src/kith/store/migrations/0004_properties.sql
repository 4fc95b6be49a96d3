-- Properties. The rules of 0001 hold: see there.

-- The fields that every record has are numbered below 1000, what is defined by hand from there on.
ALTER TABLE counters ADD COLUMN next_property_number bigint NOT NULL DEFAULT 1000;

-- What an operation found out: how many values were brought into the form of a property, and which did not fit.
ALTER TABLE operations ADD COLUMN result jsonb;

-- The position of the last command that changed properties: who has read them since need not read them again.
ALTER TABLE cursors ADD COLUMN schema_position bigint NOT NULL DEFAULT 0;

CREATE TABLE properties (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  id bigint NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  entity text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  label text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  property_group text COLLATE "C" NOT NULL,
  description text COLLATE "C",
  is_required boolean NOT NULL,
  is_system boolean NOT NULL,
  is_indexed boolean NOT NULL,
  options jsonb NOT NULL,
  status text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  version int NOT NULL,
  -- get by number; ties of every sort
  PRIMARY KEY (shard, workspace_id, id)
) WITH (fillfactor = 85);
-- get by external id; the writer's load of a batch
CREATE UNIQUE INDEX properties_external_id ON properties (shard, workspace_id, external_id);
-- all of an entity; one property for each key
CREATE UNIQUE INDEX properties_key ON properties (shard, workspace_id, entity, key);

-- The fields that records of every workspace have, listed beside its properties; filled from the program's own table.
CREATE TABLE system_properties (
  id bigint PRIMARY KEY,
  external_id text COLLATE "C" NOT NULL UNIQUE,
  entity text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  label text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  property_group text COLLATE "C" NOT NULL,
  description text COLLATE "C",
  is_required boolean NOT NULL,
  is_system boolean NOT NULL,
  is_indexed boolean NOT NULL,
  options jsonb NOT NULL,
  status text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  version int NOT NULL
);

-- What is listed of a workspace: what it defined, and the fields that all have.
CREATE VIEW all_properties WITH (security_invoker = true) AS
  SELECT * FROM properties
  UNION ALL
  SELECT w.shard, w.id, s.* FROM workspaces w CROSS JOIN system_properties s;
