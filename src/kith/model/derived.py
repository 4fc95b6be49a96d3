"""What a row of a record has beside its own fields: columns that follow from its texts."""

from collections.abc import Mapping
from typing import Any

from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.search import to_company_lexemes, to_lexemes
from kith.model.text import Folded, fold_fields, to_name_key

# What stands before the key of a property in the name of a field: of a record, and of the link between two.
PROPERTIES = "properties."
LINK = "link."


def derive_contact_text(contact: Contact, workspace: int) -> dict[str, Any]:
    """The columns that follow from the texts of a contact."""
    texts = {
        "email": contact.email,
        "name": contact.name,
        "givenName": contact.given_name,
        "familyName": contact.family_name,
        "phone": contact.phone,
        "avatar": contact.avatar,
    }
    return {
        "email_key": None if contact.email is None or contact.email.isascii() else to_name_key(contact.email),
        "name_key": to_name_key(contact.name),
        "family_key": to_name_key(contact.family_name),
        "folded": fold_fields(texts, PROPERTIES, contact.properties, ("email", "name", "familyName")),
        "words": to_lexemes(contact, workspace),
    }


def derive_company_text(company: Company, workspace: int) -> dict[str, Any]:
    """Likewise."""
    texts = {
        "name": company.name,
        "industry": company.industry,
        "size": company.size,
        "plan": company.plan,
        "website": company.website,
        "phone": company.phone,
    }
    return {
        "name_key": to_name_key(company.name),
        "industry_key": to_name_key(company.industry),
        "size_key": to_name_key(company.size),
        "folded": fold_fields(texts, PROPERTIES, company.properties, ("name", "industry", "size")),
        "words": to_company_lexemes(company, workspace),
    }


def fold_link(role: str | None, properties: Mapping[str, Any]) -> Folded | None:
    """Of the link between a contact and a company."""
    return fold_fields({"role": role}, LINK, properties)
