"""Associations as clients send them: a contact's company, its role there, and whether it is the primary one."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from kith.model.forms import CompanyId, Properties, Text
from kith.model.patches import list_uncleared, make_changes
from kith.model.values import normalise_text


class AssociationInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body that links a company to a contact. The company is named by number or external id."""

    company_id: CompanyId
    role: Text | None | UnsetType = UNSET
    is_primary: bool | UnsetType = UNSET
    properties: Properties | None | UnsetType = UNSET


class AssociationPatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body that changes a link: what is left out stays, null clears, properties merge by key."""

    role: Text | None | UnsetType = UNSET
    is_primary: bool | UnsetType = UNSET
    properties: Properties | None | UnsetType = UNSET


def make_association_changes(fields: AssociationInput | AssociationPatch) -> dict[str, Any]:
    """The fields that were sent, normalised. Raises Validation with every wrong field."""
    faults = list_uncleared(fields, ("properties",)) if isinstance(fields, AssociationPatch) else []
    return make_changes(fields, {"role": normalise_text}, plain=("is_primary",), faults=faults)
