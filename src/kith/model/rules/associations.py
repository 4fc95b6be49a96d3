"""Associations: a contact belongs to companies, in a role; one of them at most is its primary one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from kith.model.commands import AssociateCompany, RemoveAssociation, UpdateAssociation
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.events import Event
from kith.model.records import CompanyLink
from kith.model.rules.decisions import (
    Accepted,
    Decision,
    Rejected,
    get_live_contact,
    merge_properties,
    not_found,
    not_live,
    replace_link,
    too_large,
)
from kith.model.rules.properties import check_properties
from kith.model.state import State
from kith.model.values import find_overflow, same_json

COMPANIES_MAX = 1000


def associate_company(state: State, command: AssociateCompany, at: datetime) -> Decision:
    contact = get_live_contact(state, command.contact_id)
    if isinstance(contact, Rejected):
        return contact
    company = state.find(Company, command.company_id)
    if company is None:
        return not_found("company", command.company_id)
    if not company.live:
        return not_live(company)
    if find_link(contact, company.external_id) is not None:
        return Rejected(
            "ALREADY_ASSOCIATED",
            f"Contact {contact.external_id} is already associated with company {company.external_id}. Change the"
            f" association with PATCH /crm/contacts/{contact.external_id}/companies/{company.external_id}.",
            {"contactId": contact.number, "companyId": company.number},
        )
    if len(contact.companies) >= COMPANIES_MAX:
        message = f"The contact has {COMPANIES_MAX} companies already; it takes no more."
        return Rejected("INVALID_REQUEST", message)
    properties = check_properties(state, "CONTACT_COMPANY", command.properties, timezone=command.timezone)
    if isinstance(properties, Rejected):
        return properties
    if overflow := find_overflow(properties):
        return too_large(overflow)
    link = CompanyLink(
        external_id=company.external_id,
        number=company.number,
        name=company.name,
        domain=company.domain,
        live=True,
        role=command.role,
        is_primary=command.is_primary,
        properties=merge_properties({}, properties),
    )
    others = demote(contact.companies) if link.is_primary else contact.companies
    after = msgspec.structs.replace(contact, companies=(*others, link))
    return Accepted((Event(type="association.created", record=after, told=tell(link)),))


def update_association(state: State, command: UpdateAssociation, at: datetime) -> Decision:
    found = find_association(state, command)
    if isinstance(found, Rejected):
        return found
    contact, link = found
    fields = dict(command.changes)
    if "properties" in fields:
        properties = check_properties(state, "CONTACT_COMPANY", fields["properties"], link.properties, command.timezone)
        if isinstance(properties, Rejected):
            return properties
        fields["properties"] = merge_properties(link.properties, properties)
        if overflow := find_overflow(fields["properties"]):
            return too_large(overflow)
    changes = {name: (old, new) for name, new in fields.items() if not same_json(old := getattr(link, name), new)}
    if not changes:
        return Accepted(())
    changed = msgspec.structs.replace(link, **fields)
    links = demote(contact.companies) if changed.is_primary and not link.is_primary else contact.companies
    links = replace_link(links, lambda one: one.external_id == link.external_id, changed)
    after = msgspec.structs.replace(contact, companies=links)
    return Accepted((Event(type="association.updated", record=after, told=tell(changed)),))


def remove_association(state: State, command: RemoveAssociation, at: datetime) -> Decision:
    found = find_association(state, command)
    if isinstance(found, Rejected):
        return found
    contact, link = found
    links = replace_link(contact.companies, lambda one: one.external_id == link.external_id, None)
    after = msgspec.structs.replace(contact, companies=links)
    return Accepted((Event(type="association.removed", record=after, told=tell(link)),))


def find_association(
    state: State, command: UpdateAssociation | RemoveAssociation
) -> tuple[Contact, CompanyLink] | Rejected:
    contact = get_live_contact(state, command.contact_id)
    if isinstance(contact, Rejected):
        return contact
    company = state.find(Company, command.company_id)
    if company is None:
        return not_found("company", command.company_id)
    if not company.live:
        return not_live(company)
    link = find_link(contact, company.external_id)
    if link is None:
        message = f"Contact {contact.external_id} is not associated with company {company.external_id}."
        return Rejected("NOT_FOUND", message)
    return contact, link


def find_link(contact: Contact, company_id: str) -> CompanyLink | None:
    return next((link for link in contact.companies if link.external_id == company_id), None)


def demote(links: tuple[CompanyLink, ...]) -> tuple[CompanyLink, ...]:
    """None of them primary."""
    return tuple(msgspec.structs.replace(link, is_primary=False) if link.is_primary else link for link in links)


def tell(link: CompanyLink) -> Mapping[str, Any]:
    company = {"id": link.number, "externalId": link.external_id}
    return {"company": company, "role": link.role, "isPrimary": link.is_primary, "properties": link.properties}
