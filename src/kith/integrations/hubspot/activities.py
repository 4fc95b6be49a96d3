"""Activities on their way to HubSpot: upserted by our external id, as none may be there twice, then shown with whom
they are of."""

from collections.abc import AsyncIterator, Sequence

from kith.integrations.failures import Failure
from kith.integrations.hubspot.batches import make_batches, match_answer, send_halving
from kith.integrations.hubspot.client import TO_CONTACT, HubSpotClient, Input, Pair, Written
from kith.integrations.hubspot.engagements import KINDS, EngagementKind
from kith.integrations.hubspot.settings import KEY_PROPERTY
from kith.integrations.port import Failed, Item, Job, Linked, Outcomes

_Sent = tuple[Job, Input]


async def push_activities(client: HubSpotClient, jobs: Sequence[Job]) -> AsyncIterator[Outcomes]:
    for kind in KINDS.values():
        sent = [(job, _make_input(job)) for job in jobs if job.payload["type"] == kind]
        for batch in make_batches(sent, lambda pair: pair[1].id):
            async for outcomes in _push_batch(client, kind, batch):
                yield outcomes


async def _push_batch(client: HubSpotClient, kind: EngagementKind, batch: Sequence[_Sent]) -> AsyncIterator[Outcomes]:
    async def upsert(some: Sequence[_Sent]) -> list[Written | Failure | None]:
        inputs = [one for _, one in some]
        return match_answer(inputs, await client.upsert(kind, inputs))

    async def associate(some: Sequence[tuple[Item, Pair]]) -> list[Linked]:
        await client.associate(kind, "contacts", [pair for _, pair in some])
        return [Linked(external_id=pair.from_id, details={"type": kind, "contact": pair.to_id}) for _, pair in some]

    async for told in send_halving(batch, upsert):
        failed = [(job.item, Failed(failure=result)) for (job, _), result in told if isinstance(result, Failure)]
        if failed:
            yield failed
        made = [
            (job.item, Pair(result.id, job.payload["contact"], (TO_CONTACT[kind],)))
            for (job, _), result in told
            if isinstance(result, Written)
        ]
        if not made:
            continue
        async for ended in send_halving(made, associate):
            yield [(item, done if isinstance(done, Linked) else Failed(failure=done)) for (item, _), done in ended]


def _make_input(job: Job) -> Input:
    properties = job.payload["properties"]
    ours = properties[KEY_PROPERTY]
    return Input(id=ours, id_property=KEY_PROPERTY, properties=properties, object_write_trace_id=ours)
