-- Per field of a linked contact: when the provider last changed it (milliseconds), and the operation that took the
-- change: {"phone": {"at": 1700000000000, "operation": "op_…"}}. An older change that arrives later is ignored.
ALTER TABLE sync_links ADD COLUMN heard jsonb NOT NULL DEFAULT '{}';
-- find_last_change: when a field of a contact was last changed here, where an integration takes the latest value
CREATE INDEX events_of_contact ON events (shard, workspace_id, resource, sequence) WHERE type = 'contact.updated';
