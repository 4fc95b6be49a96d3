"""Companies: create, update, delete, restore."""

from datetime import datetime

from kith.model.commands import CreateCompany, DeleteCompany, RestoreCompany, UpdateCompany
from kith.model.companies import Company
from kith.model.events import Event
from kith.model.rules.decisions import (
    Accepted,
    Decision,
    Rejected,
    change_record,
    delete_record,
    find_mismatch,
    find_taken,
    next_number,
    not_found,
    not_live,
    restore_record,
    too_large,
)
from kith.model.rules.properties import check_properties
from kith.model.state import State
from kith.model.values import find_overflow

MISSING = Rejected(
    "MISSING_FIELD",
    "A company needs a name or a domain.",
    {"fields": [{"field": "name", "message": "one of name, domain is needed."}]},
)


def create_company(state: State, command: CreateCompany, at: datetime) -> Decision:
    if not (command.name or command.domain):
        return MISSING
    properties = check_properties(state, "COMPANY", command.properties, timezone=command.timezone)
    if isinstance(properties, Rejected):
        return properties
    if overflow := find_overflow(properties):
        return too_large(overflow)
    if command.domain and (refusal := find_taken(state, ("domain", command.domain))):
        return refusal
    company = Company(
        external_id=command.company_id,
        number=next_number(state, "company"),
        name=command.name,
        domain=command.domain,
        industry=command.industry,
        size=command.size,
        plan=command.plan,
        spend=command.spend,
        website=command.website,
        phone=command.phone,
        phone_e164=command.phone_e164,
        status="ACTIVE",
        properties={key: value for key, value in properties.items() if value is not None},
        contact_count=0,
        created_at=at,
        updated_at=at,
        version=1,
    )
    return Accepted((Event(type="company.created", record=company),))


def update_company(state: State, command: UpdateCompany, at: datetime) -> Decision:
    company = state.find(Company, command.company_id)
    if company is None:
        return not_found("company", command.company_id)
    if mismatch := find_mismatch(company, command.if_version):
        return mismatch
    if not company.live:
        return not_live(company)
    fields = dict(command.changes)
    domain = fields.get("domain")
    if domain and (refusal := find_taken(state, ("domain", domain), by=company.identity)):
        return refusal
    if "properties" in fields:
        properties = check_properties(state, "COMPANY", fields["properties"], company.properties, command.timezone)
        if isinstance(properties, Rejected):
            return properties
        fields["properties"] = properties
    changed = change_record(company, fields, at)
    if isinstance(changed, Rejected):
        return changed
    after, changes = changed
    if not (after.name or after.domain):
        return MISSING
    return Accepted((Event(type="company.updated", record=after, changes=changes),) if changes else ())


def delete_company(state: State, command: DeleteCompany, at: datetime) -> Decision:
    company = state.find(Company, command.company_id)
    if company is None:
        return not_found("company", command.company_id)
    return delete_record(company, command.if_version, at)


def restore_company(state: State, command: RestoreCompany, at: datetime) -> Decision:
    company = state.find(Company, command.company_id)
    if company is None:
        return not_found("company", command.company_id)
    return restore_record(state, company, command.if_version, at)
