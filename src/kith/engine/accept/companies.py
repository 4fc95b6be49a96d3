"""The verbs on companies."""

from kith.aside import compute
from kith.engine.accept.properties import settle_properties, to_schema_ref
from kith.engine.accept.records import name_target, write
from kith.engine.accept.submit import Attempt, WriteRequest, Written
from kith.engine.context.engine import Engine
from kith.engine.read.records import parse_ref
from kith.model.commands import Command, CreateCompany, DeleteCompany, RestoreCompany, UpdateCompany
from kith.model.companies import CompanyInput, CompanyPatch, make_company_changes
from kith.model.state import Ref, State


async def create_company(engine: Engine, request: WriteRequest, fields: CompanyInput) -> Written:
    sent = await compute(len(request.sent), make_company_changes, fields)
    changes = {field: value for field, value in sent.items() if value is not None}
    domain = changes.get("domain")

    def make_command(attempt: Attempt, state: State) -> Command:
        settled, timezone = settle_properties(request.workspace, state, "COMPANY", changes)
        return CreateCompany(company_id=attempt.make_id("cmp"), **settled, timezone=timezone)

    refs = [to_schema_ref("COMPANY"), Ref("company", "domain", domain)] if domain else [to_schema_ref("COMPANY")]
    return await write(engine, request, refs, make_command)


async def update_company(engine: Engine, request: WriteRequest, ref: str, fields: CompanyPatch) -> Written:
    parsed = parse_ref("company", ref)
    changes = await compute(len(request.sent), make_company_changes, fields)
    domain = changes.get("domain")
    refs = [parsed, Ref("company", "domain", domain)] if domain else [parsed]
    if "properties" in changes:
        refs.append(to_schema_ref("COMPANY"))

    def make_command(_: Attempt, state: State) -> Command:
        settled, timezone = settle_properties(request.workspace, state, "COMPANY", changes)
        company_id = name_target(state, parsed)
        return UpdateCompany(company_id=company_id, changes=settled, timezone=timezone, if_version=request.if_version)

    return await write(engine, request, refs, make_command)


async def delete_company(engine: Engine, request: WriteRequest, ref: str) -> Written:
    parsed = parse_ref("company", ref)

    def make_command(_: Attempt, state: State) -> Command:
        return DeleteCompany(company_id=name_target(state, parsed), if_version=request.if_version)

    return await write(engine, request, [parsed], make_command)


async def restore_company(engine: Engine, request: WriteRequest, ref: str) -> Written:
    parsed = parse_ref("company", ref)

    def make_command(_: Attempt, state: State) -> Command:
        return RestoreCompany(company_id=name_target(state, parsed), if_version=request.if_version)

    return await write(engine, request, [parsed], make_command)
