"""A contact's companies over HTTP. What such a write answers with is the contact."""

from kith.api import response_schemas as shapes
from kith.api.calls import ReadCall, WriteCall
from kith.api.responses import Answer, make_page_answer, make_write_answer
from kith.api.routing import route
from kith.engine.accept import associations
from kith.engine.read import listings
from kith.model.associations import AssociationInput, AssociationPatch


@route("GET", "/crm/contacts/{contact_id}/companies", tag="Contacts", kind="page", data=shapes.CompanyOfContact)
async def list_contact_companies(call: ReadCall, contact_id: str) -> Answer:
    """List a contact's companies

    With role and primary flag, the primary one first; all of them on one page.
    """
    return make_page_answer(await listings.list_companies_of(call.engine, call.workspace, contact_id))


@route(
    "POST",
    "/crm/contacts/{contact_id}/companies",
    tag="Contacts",
    kind="write",
    data=shapes.Contact,
    creates=True,
    errors=["ALREADY_ASSOCIATED"],
    example={"companyId": 5, "role": "Decision Maker", "isPrimary": True},
)
async def associate_company(call: WriteCall, contact_id: str, body: AssociationInput) -> Answer:
    """Associate a company with a contact

    One company at most is the primary one: a new one takes it over.
    """
    written = await associations.associate_company(call.engine, call.request, contact_id, body)
    return make_write_answer(written, call.request)


@route(
    "PATCH",
    "/crm/contacts/{contact_id}/companies/{company_id}",
    tag="Contacts",
    kind="write",
    data=shapes.Contact,
    example={"role": "CTO", "isPrimary": True},
)
async def update_association(call: WriteCall, contact_id: str, company_id: str, body: AssociationPatch) -> Answer:
    """Change an association

    What is left out stays, null clears, properties merge by key.
    """
    written = await associations.update_association(call.engine, call.request, contact_id, company_id, body)
    return make_write_answer(written, call.request)


@route("DELETE", "/crm/contacts/{contact_id}/companies/{company_id}", tag="Contacts", kind="write", data=shapes.Contact)
async def remove_association(call: WriteCall, contact_id: str, company_id: str) -> Answer:
    """Remove an association"""
    written = await associations.remove_association(call.engine, call.request, contact_id, company_id)
    return make_write_answer(written, call.request)
