"""CQL, the query language: a frozen tree of what is asked, a catalogue of what can be asked, and its SQL."""
