-- Of a property that is a phone number in international form, ``folded`` has the E.164 as the third of its forms, and the
-- slot of a PHONE property has the sort key of that. ``kith.store.folding`` computes both after the migrations. A process
-- of an earlier version cannot run beside it: it would store phone numbers that no filter finds by E.164.

UPDATE installation SET text_folded = false;
