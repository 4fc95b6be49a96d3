"""The providers that there are: what an account needs, what it may be told, and what it takes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from kith.engine.context.engine import Engine
from kith.errors import Validation
from kith.integrations.hubspot.payloads import render_record
from kith.integrations.hubspot.settings import HubSpotSettings
from kith.integrations.hubspot.tokens import OAuthApp, PrivateApp, find_form
from kith.integrations.hubspot.values import SEPARATOR, STAGES
from kith.integrations.limiter import Rate
from kith.integrations.mailchimp.payloads import BETWEEN, make_merge_fields
from kith.integrations.mailchimp.settings import MailchimpCredentials, MailchimpSettings
from kith.integrations.mapping import MAPPABLE, PROPERTY_PREFIX, WRITABLE
from kith.integrations.port import Entity, ProviderName
from kith.integrations.setting_faults import (
    NAME_CHARACTERS_MAX,
    SUGGESTIONS_MAX,
    find_name_faults,
    find_setting_faults,
    to_fault,
)
from kith.model.aliases import find_meant
from kith.model.contacts import Contact
from kith.model.properties import Schema
from kith.model.state import Ref
from kith.model.workspaces import Workspace
from kith.settings import Settings

FAULTS_MAX = 50


class Kind(NamedTuple):
    """A kind of account: the shape of its settings, its limits, and what a value of a field of theirs is here.

    ``find_form`` gives the shape of credentials by their names, and ``credentials`` names all that there are;
    ``render`` gives what is sent of a contact's fields, by theirs; ``between`` stands between the items of a set.
    """

    settings: type[HubSpotSettings] | type[MailchimpSettings]
    find_form: Callable[[Mapping[str, Any]], type[msgspec.Struct]]
    credentials: str
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
        find_form,
        "The credentials are accessToken and webhookSecret; or clientId, clientSecret and refreshToken.",
        lambda settings: Rate(
            requests=settings.hubspot_per_10s, seconds=10, burst=max(1, settings.hubspot_per_10s // 10)
        ),
        from_hubspot,
        lambda contact, settings: render_record(contact, settings)["properties"],
        SEPARATOR,
    ),
    "MAILCHIMP": Kind(
        MailchimpSettings,
        lambda _: MailchimpCredentials,
        "The credentials are apiKey and webhookSecret.",
        lambda settings: Rate(requests=settings.mailchimp_per_s, seconds=1, places=settings.mailchimp_at_once),
        lambda _, value: value or None,
        lambda contact, settings: make_merge_fields(contact, settings.contact_fields),
        BETWEEN,
    ),
}


def _list_names(shapes: Iterable[type[msgspec.Struct]]) -> set[str]:
    return {field.encode_name for shape in shapes for field in msgspec.structs.fields(shape)}


IN_CREDENTIALS = dict.fromkeys(_list_names((PrivateApp, OAuthApp, MailchimpCredentials)), "in credentials")
IN_SETTINGS = dict.fromkeys(_list_names((HubSpotSettings, MailchimpSettings)), "in settings")
_BESIDE = dict.fromkeys(("provider", "name", "segment", "whenLeaving"), "at the top of the body")


def check_credentials(provider: ProviderName, given: Mapping[str, Any]) -> None:
    """Raises Validation. What is wrong is told without what was given: it is a secret."""
    kind = PROVIDERS[provider]
    form = kind.find_form(given)
    faults = list(find_name_faults(form, given, "credentials", kind.credentials, IN_SETTINGS | _BESIDE))
    if faults:
        raise Validation(faults[:FAULTS_MAX])
    try:
        msgspec.convert(given, form)
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
        for fault in _list_unknown(f"fields.{entity}", MAPPABLE[entity], fields, schemas.get(entity))
    ]
    owned = given.get("ownership")
    if isinstance(owned, dict):
        faults += _list_unknown("ownership", WRITABLE, owned, schemas.get("contact"))
    shape = PROVIDERS[provider].settings
    faults += find_setting_faults(shape, given, "settings", IN_CREDENTIALS | _BESIDE)
    if faults:
        raise Validation(faults[:FAULTS_MAX])
    try:
        settings = msgspec.convert(given, shape)
    except msgspec.ValidationError as error:
        raise Validation([to_fault("settings", error)]) from None
    if faults := list(settings.find_faults()):
        raise Validation(faults[:FAULTS_MAX])
    kept: dict[str, Any] = msgspec.to_builtins(settings)
    return kept


def _list_unknown(
    place: str, own: Sequence[str], fields: Mapping[str, Any], schema: Schema | None
) -> Iterator[tuple[str, str]]:
    properties = [PROPERTY_PREFIX + key for key, one in schema.properties.items() if one.active] if schema else []
    known = [*own, *properties]
    for number, ours in enumerate(ours for ours in fields if ours not in known):
        meant = find_meant(ours, known) if number < SUGGESTIONS_MAX else None
        hint = f"Did you mean {meant!r}?" if meant else f"There are {', '.join(own)}, and properties.<key>."
        yield f"settings.{place}.{ours[:NAME_CHARACTERS_MAX]}", f"is no field that is taken here. {hint}"
