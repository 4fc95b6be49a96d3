"""Columns of a record's row that are derived from its texts."""

from collections.abc import Container, Mapping
from typing import Any

from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.search import to_company_lexemes, to_lexemes
from kith.model.text import Folded, Forms, fold_field, to_name_key
from kith.model.values import PHONE_CHARACTERS_MAX, PHONE_STARTS, to_e164

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


def fold_fields(
    texts: Mapping[str, str | None], prefix: str, properties: Mapping[str, Any], keyed: Container[str] = ()
) -> Folded | None:
    """The forms of a record's texts that SQL cannot make itself; None where there are none, as for most records.

    ``prefix`` stands before the keys of properties; ``keyed`` are fields whose sort key has a column of its own.
    """
    folded: Folded = {}
    for name, text in texts.items():
        if text is not None and not text.isascii():
            form, key = fold_field(text)
            if form is not None or (key is not None and name not in keyed):
                folded[name] = (form, None if name in keyed else key)
    for name, value in properties.items():
        if isinstance(value, str) and (forms := fold_value(value)) is not None:
            folded[prefix + name] = forms
    return folded or None


def fold_value(text: str) -> Forms | None:
    """The forms of a property's text that SQL cannot make itself, whatever its type is now: it may become a phone."""
    e164 = to_e164(text) if text.startswith(PHONE_STARTS) and len(text) <= PHONE_CHARACTERS_MAX else None
    if e164 is not None and e164 != text:
        return (*fold_field(text), e164)
    forms = fold_field(text)
    return forms if forms != (None, None) else None
