-- Text is stored in NFC and compared by full case folding. The writer stores the folded forms that SQL cannot make in
-- linear time: in ``folded`` [folded text, sort key] by field, only where ``lower`` of ASCII makes another; the sort keys of
-- indexed fields in columns. What follows from stored text that is not ASCII is computed by ``kith.store.folding`` after
-- the migrations. A process of an earlier version cannot run beside it: it would ask for ``kith_lower``.

DROP INDEX contacts_email;
DROP INDEX companies_industry;
DROP INDEX companies_size;
DROP FUNCTION kith_lower(text);

ALTER TABLE contacts ADD COLUMN email_key text COLLATE "C", ADD COLUMN folded jsonb;
ALTER TABLE companies ADD COLUMN industry_key text COLLATE "C", ADD COLUMN size_key text COLLATE "C",
  ADD COLUMN folded jsonb;
ALTER TABLE associations ADD COLUMN folded jsonb;

-- list by email; email as a typeahead; email by its folded form
CREATE INDEX contacts_email ON contacts (shard, workspace_id, coalesce(email_key, email), id);
-- list of an industry
CREATE INDEX companies_industry ON companies (shard, workspace_id, industry_key, created_at, id)
  WHERE industry_key IS NOT NULL;
-- list of a size
CREATE INDEX companies_size ON companies (shard, workspace_id, size_key, created_at, id) WHERE size_key IS NOT NULL;

UPDATE companies SET industry_key = left(lower(industry COLLATE "C"), 256), size_key = left(lower(size COLLATE "C"), 256)
WHERE industry IS NOT NULL OR size IS NOT NULL;

-- Whether what follows from stored text has the form of this version: see kith.store.folding.
ALTER TABLE installation ADD COLUMN text_folded boolean NOT NULL DEFAULT false;
ALTER TABLE installation ALTER COLUMN text_folded SET DEFAULT true;

-- Texts that were stored before in another form than NFC.
UPDATE contacts SET name = normalize(name), given_name = normalize(given_name), family_name = normalize(family_name),
  phone = normalize(phone), avatar = normalize(avatar), properties = normalize(properties::text)::jsonb
WHERE concat_ws(' ', name, given_name, family_name, phone, avatar, properties) IS NOT NORMALIZED;
UPDATE companies SET name = normalize(name), industry = normalize(industry), size = normalize(size),
  plan = normalize(plan), website = normalize(website), phone = normalize(phone),
  properties = normalize(properties::text)::jsonb
WHERE concat_ws(' ', name, industry, size, plan, website, phone, properties) IS NOT NORMALIZED;
UPDATE associations SET role = normalize(role), properties = normalize(properties::text)::jsonb
WHERE concat_ws(' ', role, properties) IS NOT NORMALIZED;
UPDATE tags SET name = normalize(name), description = normalize(description)
WHERE concat_ws(' ', name, description) IS NOT NORMALIZED;
UPDATE lists SET name = normalize(name), description = normalize(description), filter = normalize(filter),
  filter_criteria = normalize(filter_criteria::text)::jsonb
WHERE concat_ws(' ', name, description, filter, filter_criteria) IS NOT NORMALIZED;
UPDATE properties SET label = normalize(label), description = normalize(description),
  options = normalize(options::text)::jsonb
WHERE concat_ws(' ', label, description, options) IS NOT NORMALIZED;
UPDATE activities SET content = normalize(content), properties = normalize(properties::text)::jsonb
WHERE concat_ws(' ', content, properties) IS NOT NORMALIZED;
