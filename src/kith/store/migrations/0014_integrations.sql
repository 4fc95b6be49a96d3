-- Integrations: accounts at other services, what is to be sent to them, and what is there.

CREATE TABLE integrations (
  shard smallint NOT NULL,
  workspace_id int NOT NULL REFERENCES workspaces (id),
  id bigint NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  provider text COLLATE "C" NOT NULL,
  name text NOT NULL,
  -- ACTIVE; PAUSED, by a person or for ``problem``; DELETED: only its number is left
  status text COLLATE "C" NOT NULL,
  problem jsonb,
  -- encrypted; the key is not in this database
  credentials bytea NOT NULL,
  settings jsonb NOT NULL,
  -- whose account it is at the provider, as that says
  account jsonb,
  -- the last event of the feed of which jobs were made
  feed_sequence bigint NOT NULL,
  -- a full sync that is under way: {entity, after, done, total, startedAt}
  sync jsonb,
  synced_at timestamptz,
  -- up to when it was asked for what changed there, should a webhook have been missed
  reconciled_at timestamptz NOT NULL,
  -- who sends for it at the moment, and until when that holds
  owner text COLLATE "C",
  owned_until timestamptz NOT NULL DEFAULT '-infinity',
  -- nothing is sent before that: the provider is down, or has had enough
  rests_until timestamptz,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  version int NOT NULL,
  -- one more whenever somebody changed what its owner has to know: then that begins anew
  epoch int NOT NULL,
  -- get by number
  PRIMARY KEY (shard, workspace_id, id)
) WITH (fillfactor = 50);
-- get by external id
CREATE UNIQUE INDEX integrations_external_id ON integrations (shard, workspace_id, external_id);

-- Which record of ours is which of theirs.
CREATE TABLE sync_links (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  integration_id bigint NOT NULL,
  -- 'contact', 'company', 'association' (all companies of a contact) or 'activity'
  entity text COLLATE "C" NOT NULL,
  record_id bigint NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  hash text COLLATE "C" NOT NULL,
  -- SYNCED; BEGUN: a part of it is there; REMOVED: somebody deleted it there, and it stays deleted
  state text COLLATE "C" NOT NULL,
  details jsonb NOT NULL,
  -- what the person last said there of being written to, as far as it was told
  consent text COLLATE "C",
  synced_at timestamptz NOT NULL,
  -- what is sent of a record; its sync status
  PRIMARY KEY (shard, workspace_id, integration_id, entity, record_id)
) WITH (fillfactor = 85);
-- what the provider tells of
CREATE UNIQUE INDEX sync_links_external_id ON sync_links (shard, workspace_id, integration_id, entity, external_id)
  WHERE entity IN ('contact', 'company');

-- What is to be sent, one for each record however often it changed.
CREATE TABLE sync_jobs (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  integration_id bigint NOT NULL,
  entity text COLLATE "C" NOT NULL,
  record_id bigint NOT NULL,
  -- the feed's sequence number of the change: jobs go out in this order
  sequence bigint NOT NULL,
  -- one more with each change: a job that changed while it was sent goes out again
  generation int NOT NULL,
  -- PENDING, or DEAD: it failed for good, for ``failure``
  status text COLLATE "C" NOT NULL,
  due_at timestamptz NOT NULL,
  -- it may have been sent before
  begun boolean NOT NULL,
  attempts int NOT NULL,
  failing_since timestamptz,
  failure jsonb,
  PRIMARY KEY (shard, workspace_id, integration_id, entity, record_id)
) WITH (fillfactor = 70);
-- what goes out next; the dead ones
CREATE INDEX sync_jobs_order ON sync_jobs (shard, workspace_id, integration_id, status, entity, sequence, record_id);

-- Who asked a provider to forget a person: by the hash of the email, as the email itself is to be forgotten.
CREATE TABLE sync_suppressions (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  email_hash bytea NOT NULL,
  reason text NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (shard, workspace_id, email_hash)
);

-- When the next request to an account is due, and which of its places are taken. The clock is PostgreSQL's.
CREATE UNLOGGED TABLE sync_turns (
  key text COLLATE "C" PRIMARY KEY,
  due_at timestamptz NOT NULL,
  -- whoever has a turn before that takes another
  postponed_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 10);
CREATE UNLOGGED TABLE sync_places (
  key text COLLATE "C" NOT NULL,
  place int NOT NULL,
  taken_until timestamptz NOT NULL,
  PRIMARY KEY (key, place)
) WITH (fillfactor = 10);
