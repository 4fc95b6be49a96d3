-- Keys have names and the time of their last use. Operations and events have the actor that caused them; those of
-- commands that were logged before have none.

ALTER TABLE api_keys ADD COLUMN name text COLLATE "C", ADD COLUMN last_used_at timestamptz;
-- A wider scope includes the narrower ones: crm:admin includes crm:write, which includes crm:read.
UPDATE api_keys SET scopes = '{crm:read,crm:write,crm:admin}' WHERE 'crm:admin' = ANY (scopes);
UPDATE api_keys SET scopes = '{crm:read,crm:write}' WHERE 'crm:write' = ANY (scopes) AND 'crm:admin' <> ALL (scopes);

ALTER TABLE operations ADD COLUMN actor jsonb;
ALTER TABLE events ADD COLUMN actor jsonb;

-- Quotas: the bytes of all events of a workspace, and the conditions on text that no index serves in a list's filter.
-- What was written before counts nothing.
ALTER TABLE counters ADD COLUMN history_bytes bigint NOT NULL DEFAULT 0;
ALTER TABLE lists ADD COLUMN text_conditions int NOT NULL DEFAULT 0;
