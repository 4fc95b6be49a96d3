"""The log: where a write is accepted. A port, and its implementations."""
