"""Settings of a HubSpot integration, and the fields that are sent by default."""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from kith.integrations.mapping import Owner, find_collisions, merge_fields
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

    def find_faults(self) -> Iterator[tuple[str, str]]:
        """(path of a setting, what is wrong) of the fields that cannot be sent as they are mapped."""
        chosen: Mapping[RecordEntity, Mapping[str, str | None]] = {
            "contact": self.fields.contact,
            "company": self.fields.company,
        }
        for entity, mapped in chosen.items():
            place = f"settings.fields.{entity}"
            for ours, theirs in mapped.items():
                if theirs == KEY_PROPERTY:
                    yield f"{place}.{ours}", f"{KEY_PROPERTY} keeps Kith's id; map the field to another property."
                elif theirs is not None and not theirs.strip():
                    yield f"{place}.{ours}", "is empty; write the name of a HubSpot property, or null to send nothing."
            yield from find_collisions(place, DEFAULT_FIELDS[entity], mapped)

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
