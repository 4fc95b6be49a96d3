"""Fields that a body does not take because they are set elsewhere, and where that is."""

from collections.abc import Mapping

import msgspec

from kith.integrations.accounts import IntegrationInput, IntegrationPatch
from kith.integrations.providers import IN_CREDENTIALS, IN_SETTINGS
from kith.model.companies import CompanyInput
from kith.model.contacts import ContactInput

_COMPANIES = "Link a company with POST /crm/contacts/{id}/companies."
_MEMBERS = "Put it on a list with POST /crm/lists/{id}/members."
_INTEGRATION = {name: f"It belongs {where}." for name, where in {**IN_SETTINGS, **IN_CREDENTIALS}.items()} | {
    "listId": "An audience is settings.listId, a list of contacts segment.listId.",
    "where": "It belongs in segment.",
}
# By the body's shape, or what it extends.
_ELSEWHERE: Mapping[type[msgspec.Struct], Mapping[str, str]] = {
    ContactInput: {
        **dict.fromkeys(("company", "companies", "companyId", "companyIds", "companyName"), _COMPANIES),
        **dict.fromkeys(("organization", "organisation", "account", "employer"), _COMPANIES),
        "tags": "Tag it with POST /crm/contacts/{id}/tags.",
        "lists": _MEMBERS,
        "activities": "Log one with POST /crm/contacts/{id}/activities.",
    },
    CompanyInput: {
        "contacts": "Link a contact with POST /crm/contacts/{id}/companies.",
        "tags": "Tag it with POST /crm/companies/{id}/tags.",
        "lists": _MEMBERS,
    },
    IntegrationInput: _INTEGRATION,
    IntegrationPatch: _INTEGRATION,
}


def find_elsewhere(name: str, shape: type[msgspec.Struct]) -> str:
    """A sentence that says where the field is set, with a space before it; empty where it is not known."""
    sentence = next((_ELSEWHERE[kind][name] for kind in shape.__mro__ if name in _ELSEWHERE.get(kind, {})), None)
    return f" {sentence}" if sentence is not None else ""
