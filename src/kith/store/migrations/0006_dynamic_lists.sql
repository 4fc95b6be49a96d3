-- Lists whose members follow from a filter. The rules of 0001 hold: see there.

-- The filter as text, the time zone in which its days are meant, and why it cannot be evaluated any more.
ALTER TABLE lists ADD COLUMN filter text, ADD COLUMN timezone text COLLATE "C" NOT NULL DEFAULT 'UTC',
  ADD COLUMN status text COLLATE "C" NOT NULL DEFAULT 'ACTIVE', ADD COLUMN reason text;
-- the writer's load of all that may change with a record
CREATE INDEX lists_dynamic ON lists (shard, workspace_id, id) WHERE is_dynamic;
