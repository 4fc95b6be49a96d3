"""The embedded PostgreSQL, its programs, and the data folder that it runs in."""
