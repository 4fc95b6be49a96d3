"""Pending: writes that are accepted and not applied yet. A port, and its implementations."""
