"""Contacts and companies on their way to HubSpot.

A linked one is updated by its id there, so that a new email changes the contact that has the old one. One that is not
is upserted: a contact by its email, as a person may have it there already, and else by our external id; by that too
where it may have been sent before, as then it is there under it, whatever its email was.

We have an empty value cleared where we had set one before (``details.fields`` of the link), and nowhere else: what
people have entered there stays, as long as we have nothing to say about it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from kith.integrations.failures import Conflict, Failure, Missing, Permanent
from kith.integrations.hubspot.batches import make_batches, match_answer, send_halving
from kith.integrations.hubspot.client import HubSpotClient, Input, ObjectKind, Written
from kith.integrations.hubspot.settings import KEY_PROPERTY
from kith.integrations.port import Failed, Job, Link, Linked, Outcome, Outcomes

_Sent = tuple[Job, Input]


async def push_records(client: HubSpotClient, kind: ObjectKind, jobs: Sequence[Job]) -> AsyncIterator[Outcomes]:
    """Linked ones first: one of them may give up an email that another takes."""
    unlinked = [job for job in jobs if job.item.link is None]
    updates = [(job, _make_update(job, job.item.link)) for job in jobs if job.item.link is not None]
    async for told in _send(client, kind, updates, update=True):
        unlinked += [job for (job, _), result in told if isinstance(result, Missing)]
        outcomes = [
            (job.item, _to_outcome(job, result)) for (job, _), result in told if not isinstance(result, Missing)
        ]
        if outcomes:
            yield outcomes
    for job in [one for one in unlinked if one.item.shares_email]:
        if (taken_by := await _find_other_owner(client, kind, _get_email(kind, job), "email", job)) is not None:
            unlinked.remove(job)
            yield [(job.item, Failed(failure=taken_by))]
    inputs = [(job, _make_upsert(job)) for job in unlinked]
    for id_property in ("email", KEY_PROPERTY):
        upserts = [(job, one) for job, one in inputs if one.id_property == id_property]
        async for told in _send(client, kind, upserts, update=False):
            taken = [(job, result) for (job, _), result in told if isinstance(result, Conflict)]
            outcomes = [
                (job.item, _to_outcome(job, result)) for (job, _), result in told if not isinstance(result, Conflict)
            ]
            if outcomes:
                yield outcomes
            for job, conflict in taken:
                yield [(job.item, await _adopt(client, kind, job, conflict))]


async def _send(
    client: HubSpotClient, kind: ObjectKind, sent: Sequence[_Sent], *, update: bool
) -> AsyncIterator[list[tuple[_Sent, Written | Failure]]]:
    call = client.update if update else client.upsert

    async def send(batch: Sequence[_Sent]) -> list[Written | Failure | None]:
        inputs = [one for _, one in batch]
        return match_answer(inputs, await call(kind, inputs))

    for batch in make_batches(sent, lambda pair: pair[1].id.lower()):
        async for told in send_halving(batch, send):
            yield told


async def _adopt(client: HubSpotClient, kind: ObjectKind, job: Job, conflict: Conflict) -> Outcome:
    """One that is there already, by a value that nobody else can have: it is the one that we mean, unless it is that
    of another record of ours."""
    existing_id = conflict.existing_id or await _find(client, kind, job)
    if existing_id is None:
        return Failed(failure=conflict)
    if (taken_by := await _find_other_owner(client, kind, existing_id, None, job)) is not None:
        return Failed(failure=taken_by)
    update = _make_update(job, Link(external_id=existing_id, hash=""))
    try:
        [result] = match_answer([update], await client.update(kind, [update]))
    except Permanent as failure:
        return Failed(failure=failure)
    return Failed(failure=conflict) if result is None else _to_outcome(job, result)


async def _find_other_owner(
    client: HubSpotClient, kind: ObjectKind, key: str, id_property: str | None, job: Job
) -> Conflict | None:
    """The failure of a job whose record there is that of another record of ours: writing it would take it over.

    HubSpot's contact answers to the emails of all contacts that were merged into it.
    """
    ours = job.payload["properties"][KEY_PROPERTY]
    try:
        there = await client.read_object(kind, key, id_property)
    except Missing:
        return None
    other = there.properties.get(KEY_PROPERTY)
    if not other or other == ours:
        return None
    return Conflict(
        f"HubSpot's {job.item.entity} {there.id} has the email of {ours} too, and is {other} here: it was merged with "
        f"a record that had this email. Take the email off HubSpot's {job.item.entity} {there.id}, then retry.",
        there.id,
        status=409,
    )


async def _find(client: HubSpotClient, kind: ObjectKind, job: Job) -> str | None:
    keys = [(KEY_PROPERTY, job.payload["properties"][KEY_PROPERTY])]
    if email := _get_email(kind, job):
        keys.append(("email", email))
    for id_property, value in keys:
        try:
            return (await client.read_object(kind, value, id_property)).id
        except Missing:
            continue
    return None


def _get_email(kind: ObjectKind, job: Job) -> str:
    return str(job.payload["properties"].get("email", "")).lower() if kind == "contacts" else ""


def _make_update(job: Job, link: Link) -> Input:
    properties = _choose_properties(job.payload["properties"], link.details.get("fields", ()))
    return Input(id=link.external_id, properties=properties, object_write_trace_id=properties[KEY_PROPERTY])


def _make_upsert(job: Job) -> Input:
    properties = _choose_properties(job.payload["properties"], ())
    ours = properties[KEY_PROPERTY]
    email = "" if job.item.begun or job.item.entity != "contact" else properties.get("email", "").lower()
    return Input(
        id=email or ours,
        id_property="email" if email else KEY_PROPERTY,
        properties=properties,
        object_write_trace_id=ours,
    )


def _choose_properties(properties: Mapping[str, str], cleared: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in properties.items() if value or name in cleared}


def _to_outcome(job: Job, result: Written | Failure) -> Outcome:
    link = job.item.link
    if isinstance(result, Written):
        return Linked(external_id=result.id, details=_make_details(job.payload["properties"]))
    if isinstance(result, Conflict) and link is not None:
        return Failed(failure=_explain(job, link, result))
    return Failed(failure=result)


def _explain(job: Job, link: Link, conflict: Conflict) -> Conflict:
    ours = job.payload["properties"][KEY_PROPERTY]
    other = f"HubSpot's {job.item.entity} {conflict.existing_id}" if conflict.existing_id else "Another one in HubSpot"
    return Conflict(
        f"{other} has a value already that no two can have, such as the email, and that {ours} (HubSpot's "
        f"{job.item.entity} {link.external_id}) has here. Merge the two in HubSpot, or change the value of one, and "
        "try again.",
        conflict.existing_id,
        status=conflict.status,
        reference=conflict.reference,
    )


def _make_details(properties: Mapping[str, str]) -> dict[str, Any]:
    return {"fields": sorted(name for name, value in properties.items() if value and name != KEY_PROPERTY)}
