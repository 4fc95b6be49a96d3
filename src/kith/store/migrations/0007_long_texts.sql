-- Texts of any length in the indexes of companies: their beginnings, which is what queries look for first.

DROP INDEX companies_industry;
DROP INDEX companies_size;
CREATE INDEX companies_industry ON companies (shard, workspace_id, left(kith_lower(industry), 256), created_at, id)
  WHERE industry IS NOT NULL;
CREATE INDEX companies_size ON companies (shard, workspace_id, left(kith_lower(size), 256), created_at, id)
  WHERE size IS NOT NULL;
