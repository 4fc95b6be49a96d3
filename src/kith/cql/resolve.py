"""From what was written to the typed tree: names to fields, values to their types, negations to their place.

Whatever passes here can be compiled; what cannot is refused with its place in the query.
"""

from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import partial
from typing import Any, TypeVar, get_args

from kith.cql.ast import (
    EVERYTHING,
    Activities,
    Comparison,
    Condition,
    CountOperator,
    Moment,
    Related,
    Value,
    conjoin,
    disjoin,
    negate,
)
from kith.cql.entity_schema import Field
from kith.cql.errors import Place, list_names, refuse, refuse_size, show, suggest
from kith.cql.literals import (
    WHOLE,
    WrongValue,
    check_unit,
    is_trimmed,
    needs_idna,
    read_count,
    read_moment_of,
    read_option,
    read_value,
)
from kith.cql.syntax import (
    CONTAINED_CHARACTERS_MAX,
    IDNA_VALUES_MAX,
    MANY,
    ActivityCount,
    Group,
    Literal,
    Negation,
    Node,
    Relation,
    Syntax,
    list_spellings,
)
from kith.cql.syntax import Condition as Written
from kith.cql.vocabulary import OPERATORS, OTHERS, Vocabulary
from kith.model.activities import ActivityModule, ActivityType
from kith.model.derived import PROPERTIES


def resolve(syntax: Syntax, vocabulary: Vocabulary) -> Condition:
    """The typed tree, in normal form; ``EVERYTHING`` where nothing is asked.

    Raises UNKNOWN_FIELD, OPERATOR_NOT_ALLOWED, INVALID_VALUE.
    """
    if syntax.root is None:
        return EVERYTHING
    return _Resolver(syntax).resolve(syntax.root, vocabulary)


T = TypeVar("T")

_TYPES: tuple[str, ...] = get_args(ActivityType)
_MODULES: tuple[str, ...] = get_args(ActivityModule)
_COUNT_OPERATORS: tuple[str, ...] = get_args(CountOperator)


class _Resolver:
    def __init__(self, syntax: Syntax) -> None:
        self.text = syntax.text
        self.spellings = syntax.spellings
        self._contained = 0
        self._in_idna = 0
        self.is_stored = syntax.is_stored

    def resolve(self, node: Node, vocabulary: Vocabulary) -> Condition:
        if isinstance(node, Written):
            return self._compare(node, vocabulary)
        if isinstance(node, Group):
            join = conjoin if node.logic == "AND" else disjoin
            return join([self.resolve(term, vocabulary) for term in node.terms])
        if isinstance(node, Negation):
            return negate(self.resolve(node.term, vocabulary))
        if isinstance(node, Relation):
            return self._relate(node, vocabulary)
        return self._count(node, vocabulary)

    def _compare(self, written: Written, vocabulary: Vocabulary) -> Condition:
        relation, field = self.find_field(written, vocabulary)
        comparison = self._make_comparison(written, field, vocabulary.zone)
        condition: Condition = comparison
        if relation and comparison.operator == "is_null":
            # There is none where no related record has one.
            condition = negate(Related(relation, negate(comparison)))
        elif relation:
            condition = Related(relation, comparison)
        return negate(condition) if written.negated else condition

    def find_field(self, written: Written, vocabulary: Vocabulary) -> tuple[str, Field]:
        """(the relation that leads to it, empty for one of the record's own, the field)."""
        field = vocabulary.names.get(written.field)
        if field is not None:
            return "", field
        relation, dot, name = written.field.partition(".")
        beyond = vocabulary.relations.get(relation) if dot else None
        if beyond is None:
            raise refuse_field(written.field, written.place, self.text, vocabulary)
        field = beyond.names.get(name)
        if field is None:
            raise refuse_field(name, written.place, self.text, beyond, f"{relation}.")
        return relation, field

    def _make_comparison(self, written: Written, field: Field, zone: tzinfo) -> Comparison:
        """The positive form of what was written."""
        operator = written.operator
        if operator not in OPERATORS[field.kind]:
            raise self._refuse_operator(written, field.name, field.kind, OPERATORS[field.kind])
        self._in_idna += sum(needs_idna(field, literal.value) for literal in written.values)
        if self._in_idna > IDNA_VALUES_MAX:
            what, place = "emails and domains with other letters than a to z", written.values[0].place
            raise refuse_size(what, IDNA_VALUES_MAX, self._in_idna, place, self.text)
        values = [self._read(literal, field, zone, operator) for literal in written.values]
        if operator == "contains" and field.kind == "SET":
            operator = "has_any"
        value: Value = None
        if operator in MANY:
            value = tuple(dict.fromkeys(values))
        elif operator == "between":
            value = tuple(values)
        elif values:
            value = values[0]
        if operator == "contains":
            self._contained += len(str(value))
            if self._contained > CONTAINED_CHARACTERS_MAX:
                limit, place = CONTAINED_CHARACTERS_MAX, written.values[0].place
                raise refuse_size("characters in values of CONTAINS", limit, self._contained, place, self.text)
        return Comparison(field.name, operator, value)  # type: ignore[arg-type]

    def _read(self, literal: Literal, field: Field, zone: tzinfo, operator: str) -> Any:
        blank = isinstance(literal.value, str) and not literal.value.strip()
        if blank and not self.is_stored and (literal.value == "" or (operator in WHOLE and is_trimmed(field))):
            spelling = self.spellings["is_null", False]
            what = "An empty text" if literal.value == "" else "A text of nothing but space"
            message = f"{what} is no value of {field.name}. For records without a value use {spelling}."
            raise refuse("INVALID_VALUE", message, literal.place, self.text, suggestion=spelling)
        try:
            if field.kind in ("DATE", "DATETIME") and not self.is_stored:
                check_unit(field.name, literal.value)
            return read_value(field, literal.value, zone, operator)
        except WrongValue as wrong:
            raise self._refuse_value(wrong, literal) from None

    def _relate(self, node: Relation, vocabulary: Vocabulary) -> Condition:
        beyond = vocabulary.relations.get(node.name)
        if beyond is None:
            relations = tuple(vocabulary.relations)
            meant = suggest(node.name, relations)
            way_out = f"Did you mean {meant!r}?" if meant else f"There is {list_names(relations) or 'none'}."
            message = f"No relation {show(node.name)} on {vocabulary.noun}. {way_out}"
            raise refuse("UNKNOWN_FIELD", message, node.place, self.text, expected=relations, suggestion=meant)
        return Related(node.name, self.resolve(node.where, beyond))

    def _count(self, node: ActivityCount, vocabulary: Vocabulary) -> Condition:
        if not vocabulary.counts_activities:
            message = "ACTIVITIES counts the activities of a contact; it stands only in filters on contacts themselves."
            raise refuse("UNKNOWN_FIELD", message, node.place, self.text)
        if node.operator not in _COUNT_OPERATORS:
            raise self._refuse_operator(node, "ACTIVITIES", "a count", _COUNT_OPERATORS)
        types = [self._attempt(partial(read_option, "type", _TYPES), literal) for literal in node.types]
        condition = Activities(
            node.operator,  # type: ignore[arg-type]
            self._attempt(read_count, node.count),
            tuple(dict.fromkeys(types)),
            self._attempt(partial(read_option, "module", _MODULES), node.module) if node.module else None,
            *(self._read_limit(*limit, vocabulary.zone) for limit in (("since", node.since), ("before", node.before))),
        )
        return negate(condition) if node.negated else condition

    def _read_limit(self, name: str, literal: Literal | None, zone: tzinfo) -> Moment | None:
        """The first moment of what is counted, or the first after it."""
        if literal is None:
            return None
        if not self.is_stored:
            self._attempt(partial(check_unit, name), literal)
        return self._attempt(partial(read_moment_of, name, zone=zone), literal)

    def _attempt(self, read: Callable[[Any], T], literal: Literal) -> T:
        try:
            return read(literal.value)
        except WrongValue as wrong:
            raise self._refuse_value(wrong, literal) from None

    def _refuse_value(self, wrong: WrongValue, literal: Literal) -> Exception:
        return refuse("INVALID_VALUE", str(wrong), literal.place, self.text, suggestion=wrong.suggestion)

    def _refuse_operator(
        self, written: Written | ActivityCount, name: str, kind: str, operators: Sequence[str]
    ) -> Exception:
        allowed = list_spellings(operators, self.spellings)
        operator = self.spellings[written.operator, written.negated]
        message = f"{operator} is not for {name}, which is {kind}. It takes {', '.join(allowed)}."
        return refuse("OPERATOR_NOT_ALLOWED", message, written.operator_place, self.text, expected=allowed)


def refuse_member(syntax: Syntax, vocabulary: Vocabulary, name: str, member: str, meant: str | None) -> Exception:
    """INVALID_VALUE for the key of a tag, or the id of a list, that nothing has. ``name`` is tags or lists."""
    place = _find_member(syntax.root, vocabulary, name, member)
    hint = f" Did you mean {meant}?" if meant is not None else ""
    if name == "tags" and (meant is None or member.startswith("tag_")):
        hint = f" A filter names a tag by its key.{hint}"
    message = f"No {name.removesuffix('s')} {show(member)} is in this workspace.{hint}"
    return refuse("INVALID_VALUE", message, place if place is not None else "", syntax.text, suggestion=meant)


def _find_member(node: Node | None, vocabulary: Vocabulary, name: str, member: str) -> Place | None:
    """Where the member stands."""
    if isinstance(node, Group):
        return next((at for one in node.terms if (at := _find_member(one, vocabulary, name, member)) is not None), None)
    if isinstance(node, Negation):
        return _find_member(node.term, vocabulary, name, member)
    if isinstance(node, Relation):
        return _find_member(node.where, vocabulary.relations[node.name], name, member)
    if isinstance(node, Written) and node.field.rpartition(".")[2] == name:
        _, field = _Resolver(Syntax(node, "", {})).find_field(node, vocabulary)
        if field.name == name:
            values = ((one.place, read_value(field, one.value, vocabulary.zone)) for one in node.values)
            return next((place for place, value in values if value == member), None)
    return None


def refuse_field(name: str, place: Place, text: str, vocabulary: Vocabulary, way: str = "") -> Exception:
    """UNKNOWN_FIELD. ``way`` is what leads to the vocabulary, such as ``company.``."""
    noun = vocabulary.noun
    if holders := [one for one in vocabulary.parts if name in one.names]:
        message = f"Only {holders[0].noun} have {show(name)}."
        if len(holders) > 1:
            message = f"{show(name)} is one field on {holders[0].noun} and another on {holders[1].noun}."
        message += f" A query of {noun} names what both have: ask for {holders[0].noun} alone, or leave it out."
        return refuse("UNKNOWN_FIELD", message, place, text)
    first, dot, key = name.partition(".")
    if name in vocabulary.archived:
        message = f"The property {show(name)} of {noun} is archived; restore it to filter by it."
        return refuse("UNKNOWN_FIELD", message, place, text)
    if name in vocabulary.only_shown and f"{name}." != PROPERTIES:
        message = f"{name} of {noun} can be selected, but no filter, order or group can name it."
        return refuse("UNKNOWN_FIELD", message, place, text)
    if name in vocabulary.relations:
        message = f"{name} is a relation of {noun}: name a field of it, as in {name}.name, or filter in {name}(…)."
        return refuse("UNKNOWN_FIELD", message, place, text, suggestion=f"{name}.name")
    if dot and first in OTHERS:
        message = f"No relation {first!r} leads on from {noun}: a filter reaches one step from its records."
        return refuse("UNKNOWN_FIELD", message, place, text)
    relation = suggest(first, vocabulary.relations) if dot else None
    if first + dot == PROPERTIES:
        meant = suggest(
            key, [known.removeprefix(PROPERTIES) for known in vocabulary.fields if known.startswith(PROPERTIES)]
        )
        meant = PROPERTIES + meant if meant else None
        message = f"No property {show(key)} is defined on {noun}."
        way_out = " Define it first, then filter by it."
    else:
        beyond = (f"{one}.name" for one in vocabulary.relations)
        meant = f"{relation}.{key}" if relation else suggest(name, [*vocabulary.names, *beyond])
        message = f"No field {show(name)} on {noun}."
        way_out = " If it is a property, define it first, then filter by it."
        if f"{name}." == PROPERTIES:
            way_out = " Name one of them, as in properties.<key>."
    if meant:
        meant = way + meant
        way_out = f" Did you mean {meant!r}?"
    return refuse("UNKNOWN_FIELD", message + way_out, place, text, suggestion=meant)
