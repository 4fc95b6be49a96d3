"""HubSpot and Mailchimp without accounts: what they hold, what they refuse, and how they fail."""

from kith.integrations.fake.app import Fake
from kith.integrations.fake.faults import Faults
from kith.integrations.fake.hubspot import PREFIX as HUBSPOT_PREFIX
from kith.integrations.fake.journal import most_at_once, most_within
from kith.integrations.fake.mailchimp import PREFIX as MAILCHIMP_PREFIX
from kith.integrations.fake.server import serving
from kith.integrations.fake.transport import FakeTransport

__all__ = [
    "HUBSPOT_PREFIX",
    "MAILCHIMP_PREFIX",
    "Fake",
    "FakeTransport",
    "Faults",
    "most_at_once",
    "most_within",
    "serving",
]
