-- How many live companies carry a tag: the total of a list of companies by one tag, exact at any size.

ALTER TABLE tags ADD COLUMN company_count bigint NOT NULL DEFAULT 0;
UPDATE tags t SET company_count = counted.count
FROM (
  SELECT g.shard, g.workspace_id, g.tag_id, count(*) AS count
  FROM taggings g JOIN companies k ON (k.shard, k.workspace_id, k.id) = (g.shard, g.workspace_id, g.record_id)
  WHERE g.entity = 'company' AND k.status IN ('ACTIVE', 'ARCHIVED')
  GROUP BY 1, 2, 3
) counted
WHERE (t.shard, t.workspace_id, t.id) = (counted.shard, counted.workspace_id, counted.tag_id);
