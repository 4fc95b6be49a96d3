"""The verbs on the companies that a contact belongs to."""

from typing import Any

from kith.aside import compute
from kith.engine.accept.properties import settle_properties, to_schema_ref
from kith.engine.accept.records import name_given, name_target, write
from kith.engine.accept.submit import Attempt, WriteRequest, Written
from kith.engine.context.engine import Engine
from kith.engine.read.records import parse_body_id, parse_ref
from kith.model.associations import AssociationInput, AssociationPatch, make_association_changes
from kith.model.commands import AssociateCompany, Command, RemoveAssociation, UpdateAssociation
from kith.model.state import State


async def associate_company(engine: Engine, request: WriteRequest, ref: str, fields: AssociationInput) -> Written:
    contact_ref, company_ref = parse_ref("contact", ref), parse_body_id("company", "companyId", fields.company_id)
    sent = await compute(len(request.sent), make_association_changes, fields)
    given: dict[str, Any] = {k: v for k, v in sent.items() if v is not None}

    def make_command(_: Attempt, state: State) -> Command:
        contact_id = name_target(state, contact_ref)
        company_id = name_given(state, company_ref)
        settled, timezone = settle_properties(request.workspace, state, "CONTACT_COMPANY", given)
        return AssociateCompany(contact_id=contact_id, company_id=company_id, **settled, timezone=timezone)

    refs = [contact_ref, company_ref, to_schema_ref("CONTACT_COMPANY")]
    return await write(engine, request, refs, make_command)


async def update_association(
    engine: Engine, request: WriteRequest, ref: str, company: str, fields: AssociationPatch
) -> Written:
    contact_ref, company_ref = parse_ref("contact", ref), parse_ref("company", company)
    changes = await compute(len(request.sent), make_association_changes, fields)

    def make_command(_: Attempt, state: State) -> Command:
        contact_id = name_target(state, contact_ref)
        company_id = name_target(state, company_ref)
        settled, timezone = settle_properties(request.workspace, state, "CONTACT_COMPANY", changes)
        return UpdateAssociation(contact_id=contact_id, company_id=company_id, changes=settled, timezone=timezone)

    refs = [contact_ref, company_ref, to_schema_ref("CONTACT_COMPANY")]
    return await write(engine, request, refs, make_command)


async def remove_association(engine: Engine, request: WriteRequest, ref: str, company: str) -> Written:
    contact_ref, company_ref = parse_ref("contact", ref), parse_ref("company", company)

    def make_command(_: Attempt, state: State) -> Command:
        contact_id = name_target(state, contact_ref)
        company_id = name_target(state, company_ref)
        return RemoveAssociation(contact_id=contact_id, company_id=company_id)

    return await write(engine, request, [contact_ref, company_ref], make_command)
