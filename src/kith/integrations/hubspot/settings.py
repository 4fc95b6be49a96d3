"""What can be chosen for a HubSpot integration, and the fields that are sent where nothing was."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from kith.integrations.mapping import MAPPABLE, Owner, merge_fields
from kith.integrations.port import Entity

ApiVersion = Literal["2026-09", "2026-03"]
OnDelete = Literal["ARCHIVE", "ERASE", "KEEP"]
RecordEntity = Literal["contact", "company"]
# Our external id, as a property of theirs that no two records share.
KEY_PROPERTY = "kith_id"
DEFAULT_FIELDS: Mapping[RecordEntity, Mapping[str, str]] = {
    "contact": {
        "email": "email",
        "givenName": "firstname",
        "familyName": "lastname",
        "phone": "phone",
        "lifecycleStage": "lifecyclestage",
    },
    "company": {"name": "name", "domain": "domain", "phone": "phone", "website": "website"},
}


class HubSpotFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our field -> their property, over the defaults; null takes a default away."""

    contact: dict[str, str | None] = {}
    company: dict[str, str | None] = {}


class HubSpotSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """``on_delete``: what becomes there of a record that is deleted here; ERASE is their erasure by privacy law.

    ``ownership``: whose value of a contact's field of ours counts where it was changed there; ours, where nothing is
    said.
    """

    api_version: ApiVersion = "2026-09"
    fields: HubSpotFields = msgspec.field(default_factory=HubSpotFields)
    on_delete: OnDelete = "ARCHIVE"
    activities: bool = True
    companies: bool = True
    ownership: dict[str, Owner] = {}

    def __post_init__(self) -> None:
        """Raises ValueError, which the decoder tells as a fault of the body."""
        for entity in DEFAULT_FIELDS:
            known, fields = MAPPABLE[entity], self.get_fields(entity)
            for ours, theirs in fields.items():
                if ours not in known and not ours.startswith("properties."):
                    raise ValueError(
                        f"fields.{entity}: no field {ours!r}. There are {', '.join(known)}, and properties.<key>."
                    )
                if not theirs or theirs == KEY_PROPERTY:
                    raise ValueError(f"fields.{entity}.{ours}: {theirs!r} cannot be sent to.")
            twice = {theirs for theirs in fields.values() if list(fields.values()).count(theirs) > 1}
            if twice:
                raise ValueError(f"fields.{entity}: two fields are sent to {min(twice)!r}; map one of them to null.")

    @property
    def entities(self) -> list[Entity]:
        """What is sent, both ends before what is between them."""
        chosen: list[Entity] = ["company", "contact", "association"] if self.companies else ["contact"]
        return [*chosen, "activity"] if self.activities else chosen

    @property
    def contact_fields(self) -> dict[str, str]:
        return self.get_fields("contact")

    def get_fields(self, entity: RecordEntity) -> dict[str, str]:
        """Our field -> theirs, of what is sent."""
        chosen = self.fields.contact if entity == "contact" else self.fields.company
        return merge_fields(DEFAULT_FIELDS[entity], chosen)
