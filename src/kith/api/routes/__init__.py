"""The endpoints. Importing this package fills the route table."""

from kith.api.routes import contacts, operations, system
from kith.api.routing import TABLE

__all__ = ["TABLE", "contacts", "operations", "system"]
