"""Records that a command names by a value that they claim: their external ids could not be looked up.

``contact_id``, ``company_id`` or ``record_id`` is then ``email:<address>`` or ``domain:<name>``. The writer replaces it
by the external id of the live record that holds the value when the command is applied.
"""

from typing import TypeVar

import msgspec

from kith.model.commands import Command
from kith.model.records import Claim
from kith.model.rules.decisions import Rejected, not_found
from kith.model.state import State

FIELDS = ("contact_id", "company_id", "record_id")
KINDS = {"email": "contact", "domain": "company"}
C = TypeVar("C", bound=Command)


def to_name(by: str, value: int | str) -> str:
    """What names the record in a command: ``by`` is "external_id" or the name of a claim."""
    return str(value) if by == "external_id" else f"{by}:{value}"


def list_names(command: Command) -> dict[str, Claim]:
    """The claims that fields of the command name records by."""
    names = {}
    for field in FIELDS:
        name = getattr(command, field, None)
        if name is not None and ":" in name and (claim := to_claim(name)) is not None:
            names[field] = claim
    return names


def to_claim(name: str) -> Claim | None:
    """The claim in a name; None where it is an external id."""
    by, colon, value = name.partition(":")
    return (by, value) if colon else None


def resolve(state: State, command: C) -> C | Rejected:
    """The command with the external ids of the records that it names; the refusal where one of them is not there."""
    resolved = {}
    for field, claim in list_names(command).items():
        holder = state.find_holder(claim)
        if holder is None:
            return not_found(KINDS[claim[0]], claim[1])
        resolved[field] = holder.external_id
    return msgspec.structs.replace(command, **resolved) if resolved else command
