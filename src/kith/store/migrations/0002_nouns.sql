-- Companies, associations, tags, activities, merges. The rules of 0001 hold: see there.

ALTER TABLE counters
  ADD COLUMN next_company_number bigint NOT NULL DEFAULT 1,
  ADD COLUMN next_tag_number bigint NOT NULL DEFAULT 1,
  ADD COLUMN next_activity_number bigint NOT NULL DEFAULT 1;

-- The external id of the winner, of a contact that was merged.
ALTER TABLE contacts ADD COLUMN merged_into text COLLATE "C";

CREATE TABLE companies (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  id bigint NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  name text COLLATE "C",
  name_key text COLLATE "C",
  domain text COLLATE "C",
  industry text COLLATE "C",
  size text COLLATE "C",
  plan text COLLATE "C",
  spend numeric,
  website text COLLATE "C",
  phone text COLLATE "C",
  phone_e164 text COLLATE "C",
  status text COLLATE "C" NOT NULL,
  properties jsonb NOT NULL,
  contact_count bigint NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  version int NOT NULL,
  words tsvector NOT NULL
) WITH (fillfactor = 85);

-- list by createdAt (the default order), from and to
CREATE INDEX companies_created ON companies (shard, workspace_id, created_at, id);
-- list by name; name as a typeahead
CREATE INDEX companies_name ON companies (shard, workspace_id, name_key, id);
-- list by domain; domain as a typeahead
CREATE INDEX companies_domain ON companies (shard, workspace_id, domain, id);
-- list of an industry
CREATE INDEX companies_industry ON companies (shard, workspace_id, industry, created_at, id) WHERE industry IS NOT NULL;
-- list of a size
CREATE INDEX companies_size ON companies (shard, workspace_id, size, created_at, id) WHERE size IS NOT NULL;
-- list of the archived and deleted ones
CREATE INDEX companies_unusual ON companies (shard, workspace_id, status, created_at, id) WHERE status <> 'ACTIVE';
-- search
CREATE INDEX companies_words ON companies USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 256);
-- get by number; ties of every sort
ALTER TABLE companies ADD PRIMARY KEY (shard, workspace_id, id);
-- get by external id; the writer's load of a batch
CREATE UNIQUE INDEX companies_external_id ON companies (shard, workspace_id, external_id);
-- get by domain; one live company for each domain, whatever the writer believes
CREATE UNIQUE INDEX companies_live_domain ON companies (shard, workspace_id, domain) WHERE status IN ('ACTIVE', 'ARCHIVED');

CREATE TABLE associations (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  contact_id bigint NOT NULL,
  company_id bigint NOT NULL,
  role text COLLATE "C",
  is_primary boolean NOT NULL,
  properties jsonb NOT NULL,
  -- a contact's companies
  PRIMARY KEY (shard, workspace_id, contact_id, company_id)
) WITH (fillfactor = 85);
-- a company's contacts
CREATE UNIQUE INDEX associations_company ON associations (shard, workspace_id, company_id, contact_id);
-- one primary company for each contact, whatever the writer believes
CREATE UNIQUE INDEX associations_primary ON associations (shard, workspace_id, contact_id) WHERE is_primary;

CREATE TABLE tags (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  id bigint NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  name_key text COLLATE "C" NOT NULL,
  description text COLLATE "C",
  color text COLLATE "C",
  contact_count bigint NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  version int NOT NULL,
  -- get by number; ties of every sort
  PRIMARY KEY (shard, workspace_id, id)
) WITH (fillfactor = 85);
-- list by createdAt
CREATE INDEX tags_created ON tags (shard, workspace_id, created_at, id);
-- list by name
CREATE INDEX tags_name ON tags (shard, workspace_id, name_key, id);
-- get by external id; the writer's load of a batch
CREATE UNIQUE INDEX tags_external_id ON tags (shard, workspace_id, external_id);
-- list by key; one tag for each key
CREATE UNIQUE INDEX tags_key ON tags (shard, workspace_id, key);

-- Which contacts and companies carry which tags; ``entity`` is 'contact' or 'company'.
CREATE TABLE taggings (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  entity text COLLATE "C" NOT NULL,
  record_id bigint NOT NULL,
  tag_id bigint NOT NULL,
  -- a record's tags
  PRIMARY KEY (shard, workspace_id, entity, record_id, tag_id)
);
-- who carries a tag; taking a deleted tag off everywhere
CREATE UNIQUE INDEX taggings_tag ON taggings (shard, workspace_id, tag_id, entity, record_id);

CREATE TABLE activities (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  id bigint NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  contact_id bigint NOT NULL,
  type text COLLATE "C" NOT NULL,
  module text COLLATE "C" NOT NULL,
  content text,
  properties jsonb NOT NULL,
  occurred_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL,
  -- get by number
  PRIMARY KEY (shard, workspace_id, id)
);
-- a contact's activities, newest first; from and to
CREATE INDEX activities_contact ON activities (shard, workspace_id, contact_id, occurred_at, id);
-- a contact's activities of a type
CREATE INDEX activities_type ON activities (shard, workspace_id, contact_id, type, occurred_at, id);
-- get by external id
CREATE UNIQUE INDEX activities_external_id ON activities (shard, workspace_id, external_id);

-- What each merge has moved, so that it can be undone: the sides as they were, and which activities came over.
CREATE TABLE merges (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  loser_id bigint NOT NULL,
  winner_id bigint NOT NULL,
  at timestamptz NOT NULL,
  moved jsonb NOT NULL,
  PRIMARY KEY (shard, workspace_id, loser_id)
);
