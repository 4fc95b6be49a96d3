"""The providers that there are: what an account needs, what it may be told, and what it takes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from kith.engine.context import Engine
from kith.errors import Validation
from kith.integrations.hubspot.payloads import render_record
from kith.integrations.hubspot.settings import HubSpotSettings
from kith.integrations.hubspot.tokens import read_credentials as read_hubspot_credentials
from kith.integrations.hubspot.values import SEPARATOR, STAGES
from kith.integrations.limiter import Rate
from kith.integrations.mailchimp.payloads import BETWEEN, make_merge_fields
from kith.integrations.mailchimp.settings import MailchimpSettings
from kith.integrations.mailchimp.settings import read_credentials as read_mailchimp_credentials
from kith.integrations.mapping import MAPPABLE, PROPERTY_PREFIX
from kith.integrations.port import Entity, ProviderName
from kith.integrations.setting_faults import find_setting_faults, to_fault
from kith.model.aliases import find_meant
from kith.model.contacts import Contact
from kith.model.properties import Schema
from kith.model.state import Ref
from kith.model.workspaces import Workspace
from kith.settings import Settings


class Kind(NamedTuple):
    """A kind of account: the shape of its settings, its limits, and what a value of a field of theirs is here.

    ``check_credentials`` raises ValidationError; ``render`` gives what is sent of a contact's fields, by theirs;
    ``between`` stands between the items of a set.
    """

    settings: type[HubSpotSettings] | type[MailchimpSettings]
    check_credentials: Callable[[Mapping[str, Any]], object]
    make_rate: Callable[[Settings], Rate]
    to_ours: Callable[[str, str | None], str | None]
    render: Callable[[Contact, Any], Mapping[str, str]]
    between: str

    def list_entities(self, settings: Mapping[str, Any]) -> Sequence[Entity]:
        """What an account with these settings takes, in the order in which it has to be sent."""
        return msgspec.convert(settings, self.settings).entities


def from_hubspot(field: str, value: str | None) -> str | None:
    """Of a stage that is not known here, none."""
    if field != "lifecyclestage":
        return value or None
    return next((ours for ours, theirs in STAGES.items() if theirs == value), None)


PROVIDERS: Mapping[ProviderName, Kind] = {
    "HUBSPOT": Kind(
        HubSpotSettings,
        read_hubspot_credentials,
        lambda settings: Rate(
            requests=settings.hubspot_per_10s, seconds=10, burst=max(1, settings.hubspot_per_10s // 10)
        ),
        from_hubspot,
        lambda contact, settings: render_record(contact, settings)["properties"],
        SEPARATOR,
    ),
    "MAILCHIMP": Kind(
        MailchimpSettings,
        read_mailchimp_credentials,
        lambda settings: Rate(requests=settings.mailchimp_per_s, seconds=1, places=settings.mailchimp_at_once),
        lambda _, value: value or None,
        lambda contact, settings: make_merge_fields(contact, settings.contact_fields),
        BETWEEN,
    ),
}


def check_credentials(provider: ProviderName, given: Mapping[str, Any]) -> None:
    """Raises Validation. What is wrong is told without what was given: it is a secret."""
    try:
        PROVIDERS[provider].check_credentials(given)
    except msgspec.ValidationError as error:
        raise Validation([to_fault("credentials", error)]) from None


async def check_settings(
    engine: Engine, workspace: Workspace, provider: ProviderName, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings as they are kept. Raises Validation, also for a field that records do not have."""
    refs = [Ref("schema", "external_id", entity) for entity in ("CONTACT", "COMPANY")]
    schemas = {
        one.external_id.lower(): one
        for one in await engine.loader.load(workspace.shard, workspace.id, refs)
        if isinstance(one, Schema)
    }
    chosen = given.get("fields")
    faults = [
        fault
        for entity, fields in (chosen.items() if isinstance(chosen, dict) else ())
        if entity in MAPPABLE and isinstance(fields, dict)
        for fault in _list_unknown(f"fields.{entity}", entity, fields, schemas.get(entity))
    ]
    owned = given.get("ownership")
    if isinstance(owned, dict):
        faults += _list_unknown("ownership", "contact", owned, schemas.get("contact"))
    faults += find_setting_faults(PROVIDERS[provider].settings, given, "settings")
    if faults:
        raise Validation(faults)
    try:
        settings = msgspec.convert(given, PROVIDERS[provider].settings)
    except msgspec.ValidationError as error:
        raise Validation([to_fault("settings", error)]) from None
    kept: dict[str, Any] = msgspec.to_builtins(settings)
    return kept


def _list_unknown(
    place: str, entity: str, fields: Mapping[str, Any], schema: Schema | None
) -> Iterator[tuple[str, str]]:
    properties = [PROPERTY_PREFIX + key for key, one in schema.properties.items() if one.active] if schema else []
    known = [*MAPPABLE[entity], *properties]
    for ours in fields:
        if ours not in known:
            meant = find_meant(ours, known)
            hint = f" Did you mean {meant!r}?" if meant else " A property is named properties.<key>."
            yield f"settings.{place}.{ours}", f"is no field of a {entity}.{hint}"
