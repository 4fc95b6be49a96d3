-- How far commands about all records are. The rules of 0001 hold: see there.

-- An aid, written beside the transaction of the batch, so that it is seen before that ends; no part of what a replay
-- compares. A row is gone when its operation has ended.
CREATE TABLE tallies (
  shard smallint NOT NULL,
  workspace_id int NOT NULL,
  operation_id text COLLATE "C" NOT NULL,
  position bigint NOT NULL,
  done bigint NOT NULL,
  total bigint NOT NULL,
  PRIMARY KEY (shard, workspace_id, operation_id)
);
