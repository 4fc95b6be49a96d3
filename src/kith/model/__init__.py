"""The pure core: records, commands, events and the rules between them. No I/O, no clock, no randomness, no async."""
