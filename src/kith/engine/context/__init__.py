"""The engine of a process, and what it keeps in memory and open: connections, caches, back pressure."""
