-- Dynamic lists that became BROKEN because they took too long: as of the command at which position of the log, and why.
-- How long something takes does not follow from the log. A replay reads from here which lists to break, and where.
CREATE TABLE broken_lists (
  shard smallint NOT NULL,
  position bigint NOT NULL,
  workspace_id int NOT NULL,
  list_id bigint NOT NULL,
  reason text NOT NULL,
  broken_at timestamptz NOT NULL,
  -- the replay
  PRIMARY KEY (shard, workspace_id, position, list_id)
);
