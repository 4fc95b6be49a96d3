-- The engine and contacts. Every key begins (shard, workspace_id): see docs/decisions/0006-keys-begin-with-the-shard.md.
-- No sequences and no defaults that read the clock in a table that the writer fills: replaying a log gives equal tables.

CREATE TABLE installation (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  partitions smallint NOT NULL,
  secret bytea NOT NULL
);

CREATE TABLE workspaces (
  shard smallint NOT NULL,
  id int NOT NULL,
  name text COLLATE "C" NOT NULL UNIQUE,
  timezone text COLLATE "C" NOT NULL DEFAULT 'UTC',
  settings jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE api_keys (
  shard smallint NOT NULL,
  workspace_id int NOT NULL REFERENCES workspaces (id),
  id bigint NOT NULL,
  key_hash bytea NOT NULL UNIQUE,
  hint text NOT NULL,
  kind text COLLATE "C" NOT NULL,
  scopes text[] NOT NULL,
  tier text COLLATE "C" NOT NULL,
  rate_per_s int,
  batch_per_s int,
  created_at timestamptz NOT NULL,
  expires_at timestamptz,
  revoked_at timestamptz,
  PRIMARY KEY (id)
);

-- What the writer hands out next, by workspace: numbers of contacts, sequence numbers of events.
CREATE TABLE counters (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  next_contact_number bigint NOT NULL,
  next_event_sequence bigint NOT NULL,
  PRIMARY KEY (shard, workspace_id)
) WITH (fillfactor = 50);

CREATE TABLE contacts (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  id bigint NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  email text COLLATE "C",
  name text COLLATE "C",
  name_key text COLLATE "C",
  given_name text COLLATE "C",
  family_name text COLLATE "C",
  family_key text COLLATE "C",
  phone text COLLATE "C",
  phone_e164 text COLLATE "C",
  avatar text COLLATE "C",
  status text COLLATE "C" NOT NULL,
  lifecycle_stage text COLLATE "C" NOT NULL,
  modules text[] NOT NULL,
  properties jsonb NOT NULL,
  activity_count bigint NOT NULL,
  last_activity_at timestamptz,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  version int NOT NULL,
  words tsvector NOT NULL
) WITH (fillfactor = 85);

-- list by createdAt (the default order), from and to
CREATE INDEX contacts_created ON contacts (shard, workspace_id, created_at, id);
-- list by lastActivityAt
CREATE INDEX contacts_activity ON contacts (shard, workspace_id, last_activity_at, id);
-- list by email; email as a typeahead
CREATE INDEX contacts_email ON contacts (shard, workspace_id, email, id);
-- list by name; name as a typeahead
CREATE INDEX contacts_name ON contacts (shard, workspace_id, name_key, id);
-- family name as a typeahead
CREATE INDEX contacts_family ON contacts (shard, workspace_id, family_key, id) WHERE family_key IS NOT NULL;
-- list of a lifecycle stage
CREATE INDEX contacts_stage ON contacts (shard, workspace_id, lifecycle_stage, created_at, id);
-- list of the archived, merged and deleted ones
CREATE INDEX contacts_unusual ON contacts (shard, workspace_id, status, created_at, id) WHERE status <> 'ACTIVE';
-- search: words begin with the workspace's number, so that one index serves all
CREATE INDEX contacts_words ON contacts USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 256);

-- The unique ones come last: of indexes that look equally good, as all do while the table is young, the planner takes
-- the newest.
-- get by number; ties of every sort
ALTER TABLE contacts ADD PRIMARY KEY (shard, workspace_id, id);
-- get by external id; the writer's load of a batch
CREATE UNIQUE INDEX contacts_external_id ON contacts (shard, workspace_id, external_id);
-- get by email; one live contact for each email, whatever the writer believes
CREATE UNIQUE INDEX contacts_live_email ON contacts (shard, workspace_id, email) WHERE status IN ('ACTIVE', 'ARCHIVED');

-- Counts that are kept, not computed: contacts by status and lifecycle stage.
CREATE TABLE totals (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  entity text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  stage text COLLATE "C" NOT NULL,
  count bigint NOT NULL,
  PRIMARY KEY (shard, workspace_id, entity, status, stage)
) WITH (fillfactor = 50);

-- What became of each command. A partition for each day; whole days are dropped.
CREATE TABLE operations (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  id text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  position bigint NOT NULL,
  resource text COLLATE "C" NOT NULL,
  error jsonb,
  fingerprint text COLLATE "C",
  answer text,
  created_at timestamptz NOT NULL,
  applied_at timestamptz NOT NULL,
  -- get an operation; a command that comes again
  PRIMARY KEY (shard, workspace_id, id, created_at)
) PARTITION BY RANGE (created_at);
CREATE TABLE operations_default PARTITION OF operations DEFAULT;

-- The feed: what happened in a workspace, in order and without gaps. A partition for each month.
CREATE TABLE events (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  sequence bigint NOT NULL,
  type text COLLATE "C" NOT NULL,
  resource text COLLATE "C" NOT NULL,
  operation_id text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL,
  data jsonb NOT NULL,
  -- read the feed from a sequence number on
  PRIMARY KEY (shard, workspace_id, sequence, at)
) PARTITION BY RANGE (at);
CREATE TABLE events_default PARTITION OF events DEFAULT;

-- The log. The head row is locked by an append until it commits: positions have no gaps and become visible in order.
CREATE TABLE log_head (
  shard smallint PRIMARY KEY,
  position bigint NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE command_log (
  shard smallint NOT NULL,
  position bigint NOT NULL,
  workspace_id int NOT NULL,
  entry bytea NOT NULL,
  appended_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (shard, position)
);

-- How far each shard's log is applied; moves in the transaction that applies.
CREATE TABLE cursors (
  shard smallint PRIMARY KEY,
  position bigint NOT NULL
) WITH (fillfactor = 10);

-- Entries that could not be applied, with the reason.
CREATE TABLE dead_letters (
  shard smallint NOT NULL,
  position bigint NOT NULL,
  workspace_id int NOT NULL,
  operation_id text COLLATE "C",
  entry bytea NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (shard, position)
);
