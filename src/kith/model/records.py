"""Properties of all records: a kind, an external id, a number, and the unique values that they claim."""

from typing import Any, ClassVar

import msgspec

Identity = tuple[str, str]  # (kind, external id)
Claim = tuple[str, str]  # (name, value): a value that one live record of its kind has at most

LIVE = ("ACTIVE", "ARCHIVED")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record as the engine holds it. ``number`` is the id, given when its create is applied."""

    kind: ClassVar[str]
    external_id: str
    number: int | None

    @property
    def identity(self) -> Identity:
        return self.kind, self.external_id

    @property
    def live(self) -> bool:
        """Whether it holds the values that it claims."""
        return True

    @property
    def values(self) -> tuple[Claim, ...]:
        """What it claims while it is live."""
        return ()

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What no other live record may have."""
        return self.values if self.live else ()

    @property
    def successor(self) -> str | None:
        """The external id of the record that it was merged into."""
        return None


class TagLink(msgspec.Struct, frozen=True, kw_only=True):
    """A tag on a record."""

    external_id: str
    number: int | None
    key: str
    name: str
    color: str | None


class ListLink(msgspec.Struct, frozen=True, kw_only=True):
    """A static list that a record is on."""

    external_id: str
    number: int | None


class CompanyLink(msgspec.Struct, frozen=True, kw_only=True):
    """A contact's association with a company; ``live`` is the company's, as it was when the contact was loaded."""

    external_id: str
    number: int | None
    name: str | None
    domain: str | None
    live: bool
    role: str | None
    is_primary: bool
    properties: dict[str, Any]
