-- What a retry of the request that connected an account is known by: its SHA-256; empty where it had no Idempotency-Key.
ALTER TABLE integrations ADD COLUMN fingerprint bytea NOT NULL DEFAULT '';
