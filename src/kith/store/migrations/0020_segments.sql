-- Whom an integration sends: the members of a list. {"where", "list", "seen"} or {"listId", "list", "seen"}; ``list`` is
-- the list's external id, ``seen`` says that the worker has found it. NULL: everybody.
ALTER TABLE integrations ADD COLUMN segment jsonb;
-- What becomes there of a contact that leaves the segment: archive or keep.
ALTER TABLE integrations ADD COLUMN when_leaving text COLLATE "C" NOT NULL DEFAULT 'archive';
