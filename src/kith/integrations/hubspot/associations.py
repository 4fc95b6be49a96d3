"""Associations of contacts in HubSpot: those that Kith made follow the records here, others stay as they are."""

from collections.abc import AsyncIterator, Mapping, Sequence

from kith.integrations.failures import Missing
from kith.integrations.hubspot.batches import make_batches, send_halving
from kith.integrations.hubspot.client import (
    CONTACT_TO_COMPANY,
    CONTACT_TO_PRIMARY_COMPANY,
    INPUTS_MAX,
    HubSpotClient,
    Pair,
)
from kith.integrations.hubspot.payloads import PLAIN, PRIMARY
from kith.integrations.port import Begun, Failed, Job, Linked, Outcomes

Roles = Mapping[str, str]  # the id of a company there -> primary or plain


async def push_associations(client: HubSpotClient, jobs: Sequence[Job]) -> AsyncIterator[Outcomes]:
    """What will be put there is told before it is: whatever happens then, it can be taken away again."""
    for batch in make_batches(jobs, _get_contact, lambda job: max(len(_get_wanted(job)), len(_get_had(job)))):
        begun = [
            (job.item, Begun(external_id=_get_contact(job), details={"companies": reached}))
            for job in batch
            if (reached := _unite(_get_had(job), _get_wanted(job))) != _get_had(job)
        ]
        if begun:
            yield begun

        async def send(some: Sequence[Job]) -> list[Linked]:
            await _bring_about(client, some)
            return [
                Linked(external_id=_get_contact(job), details={"companies": dict(_get_wanted(job))}) for job in some
            ]

        async for told in send_halving(batch, send):
            yield [(job.item, done if isinstance(done, Linked) else Failed(failure=done)) for job, done in told]


async def _bring_about(client: HubSpotClient, jobs: Sequence[Job]) -> None:
    """Each of the requests may be sent again."""
    made, ended, demoted = [], [], []
    for job in jobs:
        contact, wanted, had = _get_contact(job), _get_wanted(job), _get_had(job)
        made += [Pair(contact, company, _to_types(role)) for company, role in wanted.items()]
        ended += [Pair(contact, company) for company in had if company not in wanted]
        if PRIMARY not in wanted.values():  # a new primary one takes that off the old one
            demoted += [
                Pair(contact, company, (CONTACT_TO_PRIMARY_COMPANY,))
                for company, role in wanted.items()
                if role == PLAIN and had.get(company) == PRIMARY
            ]
    for pairs in _split(demoted):
        await client.unlabel("contacts", "companies", pairs)
    for pairs in _split(made):
        await client.associate("contacts", "companies", pairs)
    for pairs in _split(ended):
        await _dissociate(client, pairs)


async def _dissociate(client: HubSpotClient, pairs: Sequence[Pair]) -> None:
    """What is not there is ended enough."""
    try:
        await client.dissociate("contacts", "companies", pairs)
    except Missing:
        for pair in pairs if len(pairs) > 1 else ():
            await _dissociate(client, [pair])


def _to_types(role: str) -> tuple[int, ...]:
    return (CONTACT_TO_COMPANY, CONTACT_TO_PRIMARY_COMPANY) if role == PRIMARY else (CONTACT_TO_COMPANY,)


def _get_contact(job: Job) -> str:
    return str(job.payload["contact"])


def _get_wanted(job: Job) -> Roles:
    wanted: Roles = job.payload["companies"]
    return wanted


def _get_had(job: Job) -> Roles:
    """What is there by our doing. A contact that is another one there has none of it."""
    link = job.item.link
    had: Roles = link.details.get("companies", {}) if link and link.external_id == _get_contact(job) else {}
    return had


def _unite(had: Roles, wanted: Roles) -> dict[str, str]:
    primary = {company for roles in (had, wanted) for company, role in roles.items() if role == PRIMARY}
    return {company: PRIMARY if company in primary else PLAIN for company in {**had, **wanted}}


def _split(pairs: Sequence[Pair]) -> list[Sequence[Pair]]:
    return [pairs[start : start + INPUTS_MAX] for start in range(0, len(pairs), INPUTS_MAX)]
