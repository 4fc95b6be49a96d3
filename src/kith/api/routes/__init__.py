"""The endpoints. Importing this package fills the route table."""

from kith.api.routes import (
    activities,
    associations,
    companies,
    contacts,
    hooks,
    integrations,
    lists,
    operations,
    properties,
    queries,
    system,
    tags,
)
from kith.api.routing import TABLE

__all__ = [
    "TABLE",
    "activities",
    "associations",
    "companies",
    "contacts",
    "hooks",
    "integrations",
    "lists",
    "operations",
    "properties",
    "queries",
    "system",
    "tags",
]
