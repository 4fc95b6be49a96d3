-- Indexes over the columns of their table's primary key in another order: unique by that, and cheaper when nobody
-- checks it again. An insert that may conflict looks into every unique index before it writes.

DROP INDEX list_members_record;
CREATE INDEX list_members_record ON list_members (shard, workspace_id, entity, record_id, list_id);
DROP INDEX taggings_tag;
CREATE INDEX taggings_tag ON taggings (shard, workspace_id, tag_id, entity, record_id);
DROP INDEX associations_company;
CREATE INDEX associations_company ON associations (shard, workspace_id, company_id, contact_id);
