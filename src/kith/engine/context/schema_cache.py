"""Cache of the vocabulary of each workspace's filters, kept until the workspace's properties change."""

from collections.abc import Iterable
from operator import is_
from typing import NamedTuple

from kith.cql.vocabulary import CustomField, CustomFields, EntityName, Vocabulary, make_vocabulary
from kith.engine.context.loader import Loader
from kith.engine.context.property_schemas import SCHEMAS
from kith.model.properties import Schema
from kith.model.state import Ref
from kith.model.workspaces import Workspace

KEPT_MAX = 2000
_REFS = [Ref("schema", "external_id", entity) for entity in SCHEMAS]


class Vocabularies(NamedTuple):
    """Of contacts, of companies, and what both have."""

    contact: Vocabulary
    company: Vocabulary
    both: Vocabulary

    def pick(self, entities: tuple[EntityName, ...]) -> Vocabulary:
        if len(entities) > 1:
            return self.both
        return self.contact if entities[0] == "contact" else self.company


class _Kept(NamedTuple):
    schemas: tuple[Schema, ...]
    timezone: str
    vocabularies: Vocabularies


class SchemaCache:
    """The vocabularies made lately, by workspace. Of what is committed: a pending property cannot be asked for yet."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._kept: dict[int, _Kept] = {}

    async def get(self, workspace: Workspace) -> Vocabularies:
        """The same objects as long as nothing is defined."""
        schemas = await self.load_schemas(workspace)
        kept = self._kept.get(workspace.id)
        if kept is not None and kept.timezone == workspace.timezone and all(map(is_, kept.schemas, schemas)):
            return kept.vocabularies
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        vocabularies = make_vocabularies(schemas, workspace.timezone)
        self._kept[workspace.id] = _Kept(schemas, workspace.timezone, vocabularies)
        return vocabularies

    async def load_schemas(self, workspace: Workspace) -> tuple[Schema, Schema, Schema]:
        """All that is defined for contacts, for companies and for the link between the two."""
        found = await self._loader.load(workspace.shard, workspace.id, _REFS)
        by_entity = {schema.external_id: schema for schema in found if isinstance(schema, Schema)}
        return by_entity["CONTACT"], by_entity["COMPANY"], by_entity["CONTACT_COMPANY"]


def make_vocabularies(schemas: Iterable[Schema], timezone: str) -> Vocabularies:
    """From the schemas of contacts, of companies and of the link between the two."""
    contact, company, link = map(_list_custom, schemas)
    custom = CustomFields(contact, company, link)
    return Vocabularies(
        make_vocabulary(["contact"], custom, timezone),
        make_vocabulary(["company"], custom, timezone),
        make_vocabulary(["contact", "company"], custom, timezone),
    )


def _list_custom(schema: Schema) -> tuple[CustomField, ...]:
    return tuple(
        CustomField(
            key=one.key,
            type=one.type,
            label=one.label,
            options=tuple(option.value for option in one.options),
            archived=not one.active,
            number=one.number or 0,
            slot=one.slot or "",
        )
        for one in schema.properties.values()
    )
