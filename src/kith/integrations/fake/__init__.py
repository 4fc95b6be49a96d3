"""HubSpot and Mailchimp without accounts: what they hold, what they refuse, and how they fail."""

from kith.integrations.fake.app import Fake
from kith.integrations.fake.faults import Faults
from kith.integrations.fake.journal import most_at_once, most_within
from kith.integrations.fake.server import serving
from kith.integrations.fake.transport import FakeTransport

__all__ = ["Fake", "FakeTransport", "Faults", "most_at_once", "most_within", "serving"]
