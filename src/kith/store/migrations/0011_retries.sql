-- When an entry was set aside, and what became of it when it was tried again: at which place of the log that was done,
-- and how it ended (APPLIED, REJECTED, SET_ASIDE). retry_of is the position of what was set aside before, of an entry
-- that failed again.
ALTER TABLE dead_letters
  ADD COLUMN set_aside_at timestamptz,
  ADD COLUMN retry_of bigint,
  ADD COLUMN retried_at timestamptz,
  ADD COLUMN retry_position bigint,
  ADD COLUMN outcome text COLLATE "C";
UPDATE dead_letters d SET set_aside_at = coalesce((
  SELECT o.applied_at FROM operations o
  WHERE o.shard = d.shard AND o.workspace_id = d.workspace_id AND o.id = d.operation_id AND o.position = d.position
), now());
ALTER TABLE dead_letters ALTER COLUMN set_aside_at SET NOT NULL;
