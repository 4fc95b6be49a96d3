"""Dynamic lists: their cache, whom a change affects, and their evaluation in the database."""
