-- Tags and lists know when each of their records was made: a page of them by that is read in the order of an index,
-- however many there are.

ALTER TABLE taggings ADD COLUMN created_at timestamptz;
ALTER TABLE list_members ADD COLUMN created_at timestamptz;

UPDATE taggings g SET created_at = c.created_at FROM contacts c
  WHERE c.shard = g.shard AND c.workspace_id = g.workspace_id AND c.id = g.record_id AND g.entity = 'contact';
UPDATE taggings g SET created_at = c.created_at FROM companies c
  WHERE c.shard = g.shard AND c.workspace_id = g.workspace_id AND c.id = g.record_id AND g.entity = 'company';
UPDATE list_members m SET created_at = c.created_at FROM contacts c
  WHERE c.shard = m.shard AND c.workspace_id = m.workspace_id AND c.id = m.record_id AND m.entity = 'contact';
UPDATE list_members m SET created_at = c.created_at FROM companies c
  WHERE c.shard = m.shard AND c.workspace_id = m.workspace_id AND c.id = m.record_id AND m.entity = 'company';

ALTER TABLE taggings ALTER COLUMN created_at SET NOT NULL;
ALTER TABLE list_members ALTER COLUMN created_at SET NOT NULL;

-- who carries a tag, in order; taking a deleted tag off everywhere
CREATE INDEX taggings_created ON taggings (shard, workspace_id, tag_id, entity, created_at, record_id);
DROP INDEX taggings_tag;
-- A record's lists are the key now, and a list's members are in order: two indexes, as before.
ALTER TABLE list_members DROP CONSTRAINT list_members_pkey;
DROP INDEX list_members_record;
ALTER TABLE list_members ADD PRIMARY KEY (shard, workspace_id, entity, record_id, list_id);
CREATE INDEX list_members_created ON list_members (shard, workspace_id, list_id, entity, created_at, record_id);
