-- ``words`` of domains in IDNA have their letters too, and those of emails with such letters their IDNA; those of phone
-- numbers have the extension and other words in them. ``kith.store.folding`` computes them after the migrations. What a
-- process of an earlier version writes meanwhile is found without them.

UPDATE installation SET text_folded = false;
