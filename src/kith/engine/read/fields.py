"""Fields of queries, and the operations that each supports."""

from collections.abc import Mapping

import msgspec

from kith.cql.entity_schema import ENTITIES, Field
from kith.cql.syntax import NAMES_OF_OPERATORS, list_spellings
from kith.cql.vocabulary import OPERATORS, EntityName
from kith.engine.context.engine import Engine
from kith.engine.read.cql import is_served
from kith.model.derived import PROPERTIES
from kith.model.workspaces import Workspace

_WRITABLE: Mapping[str, frozenset[str]] = {
    "contact": frozenset(("email", "name", "givenName", "familyName", "phone", "avatar", "status", "lifecycleStage")),
    "company": frozenset(("name", "domain", "industry", "size", "plan", "spend", "website", "phone", "status")),
}


class FieldRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``operators`` by their names in the JSON form; ``access`` of read, filter, sort and write."""

    name: str
    key: str
    label: str
    type: str
    operators: list[str]
    sortable: bool
    searchable: bool
    options: list[str]
    access: list[str]
    is_custom: bool
    is_indexed: bool


async def list_fields(engine: Engine, workspace: Workspace, entity: EntityName) -> list[FieldRow]:
    """The system's fields first, then the workspace's own in the order in which they were defined."""
    vocabulary = (await engine.vocabularies.get(workspace)).pick((entity,))
    contact, company, _ = await engine.vocabularies.load_schemas(workspace)
    schema = contact if entity == "contact" else company
    types = {PROPERTIES + key: str(one.type) for key, one in schema.properties.items()}
    shown = [field for field in ENTITIES[entity].fields if field.filterable or field.only_shown]
    custom = [field for field in vocabulary.fields.values() if field.name in types]
    return [make_row(entity, field, types.get(field.name)) for field in (*shown, *custom)]


def make_row(entity: EntityName, field: Field, property_type: str | None) -> FieldRow:
    """``property_type`` is that of a property, None for a field of the system."""
    is_custom = property_type is not None
    access = ["read"] + (["filter"] if field.filterable else []) + (["sort"] if field.sortable else [])
    operators = OPERATORS[field.kind] if field.filterable else ()
    if is_custom or field.name in _WRITABLE[entity]:
        access.append("write")
    return FieldRow(
        name=field.name,
        key=field.name.removeprefix(PROPERTIES) if is_custom else field.name,
        label=field.label,
        type=property_type or field.kind,
        operators=list_spellings(operators, NAMES_OF_OPERATORS),
        sortable=field.sortable,
        searchable=field.searchable,
        options=list(field.options),
        access=access,
        is_custom=is_custom,
        is_indexed=any(is_served(field, operator) for operator in operators),
    )
