"""From the legacy form to its syntax tree: ``field:op:value``, joined by commas that mean AND.

A list is ``a|b|c``. A backslash takes the meaning from ``:``, ``,``, ``|`` and itself. It is read, and never printed.
"""

from kith.cql.errors import Span, list_names, refuse, refuse_size, show, suggest
from kith.cql.syntax import (
    MANY,
    NAMES_OF_OPERATORS,
    NULL,
    OPERATOR_ALIASES,
    OPERATOR_NAMES,
    TEXT_CHARACTERS_MAX,
    Builder,
    Condition,
    Literal,
    Node,
    Syntax,
)

_SPECIAL = ":,|\\"
_FORM = "field:op:value"


def parse_legacy(text: str) -> Syntax:
    """The tree of a filter; of a blank text, one that asks nothing.

    Raises QUERY_SYNTAX, OPERATOR_NOT_ALLOWED, INVALID_VALUE, QUERY_TOO_COMPLEX.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        place = Span(TEXT_CHARACTERS_MAX, len(text) - TEXT_CHARACTERS_MAX)
        raise refuse_size("characters", TEXT_CHARACTERS_MAX, len(text), place, text)
    if not text.strip():
        return Syntax(None, text, NAMES_OF_OPERATORS)
    reader = _Reader(text)
    terms: list[Node] = []
    start = 0
    for end in (*reader.find(",", 0, len(text)), len(text)):
        terms.append(reader.read(start, end))
        start = end + 1
    return Syntax(reader.builder.group("AND", terms, Span(0, len(text))), text, NAMES_OF_OPERATORS)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.builder = Builder(text)
        self._escaped = self._find_escaped()

    def find(self, mark: str, start: int, end: int) -> list[int]:
        """Where the mark stands with its meaning."""
        found = []
        at = self.text.find(mark, start, end)
        while at >= 0:
            if at not in self._escaped:
                found.append(at)
            at = self.text.find(mark, at + 1, end)
        return found

    def read(self, start: int, end: int) -> Condition:
        colons = self.find(":", start, end)
        name_end = colons[0] if colons else end
        name, place = self._strip(start, name_end)
        if not name or not colons:
            message = f"Expected {_FORM}, found {show(self.text[start:end])}."
            raise refuse("QUERY_SYNTAX", message, Span(start, end - start), self.text, expected=(_FORM,))
        self.builder.count(place)
        # Further colons are part of the value, as in a time of day.
        operator_end = colons[1] if len(colons) > 1 else end
        written, operator_place = self._strip(name_end + 1, operator_end)
        found = OPERATOR_NAMES.get(written.lower()) or OPERATOR_ALIASES.get(written.lower())
        if found is None:
            raise self._refuse_operator(written, operator_place)
        operator, negated = found
        values = self._read_values(operator, written, operator_end, end)
        return Condition(name, place, operator, negated, operator_place, values)

    def _read_values(self, operator: str, name: str, colon: int, end: int) -> tuple[Literal, ...]:
        start = min(colon + 1, end)
        if operator == "is_null":
            if self.text[start:end].strip():
                message = f"{name} takes no value."
                raise refuse("INVALID_VALUE", message, Span(start, end - start), self.text)
            return ()
        if colon == end:
            message = f"Expected :value after the operator {name}, found {show(self.text[end : end + 1] or 'the end')}."
            raise refuse("QUERY_SYNTAX", message, Span(end, 0), self.text, expected=(":",))
        if operator not in MANY and operator != "between":
            return (self._read_value(start, end),)
        values: list[Literal] = []
        for bar in (*self.find("|", start, end), end):
            values.append(self._read_value(start, bar))
            start = bar + 1
        self.builder.check_list(len(values), Span(colon + 1, end - colon - 1))
        if operator == "between" and len(values) != 2:
            message = f"{name} takes two values, from|to; here are {len(values)}."
            raise refuse("INVALID_VALUE", message, Span(colon + 1, end - colon - 1), self.text)
        return tuple(values)

    def _read_value(self, start: int, end: int) -> Literal:
        place = Span(start, end - start)
        if self.text[start:end].strip().lower() == NULL:
            raise self.builder.refuse_null("is_null", place)
        return Literal(self._unescape(start, end), place)

    def _strip(self, start: int, end: int) -> tuple[str, Span]:
        part = self.text[start:end]
        start += len(part) - len(part.lstrip())
        length = len(part.strip())
        return self._unescape(start, start + length), Span(start, length)

    def _unescape(self, start: int, end: int) -> str:
        part = self.text[start:end]
        if "\\" not in part:
            return part
        kept = (at for at in range(start, end) if self.text[at] != "\\" or at in self._escaped)
        return "".join(self.text[at] for at in kept)

    def _find_escaped(self) -> frozenset[int]:
        """The places of the characters that a backslash has taken the meaning from."""
        escaped: set[int] = set()
        at = self.text.find("\\")
        while at >= 0:
            if self.text[at + 1 : at + 2] not in tuple(_SPECIAL):
                message = f"A \\ stands in front of one of {_SPECIAL} only; write \\\\ for a \\ itself."
                raise refuse(
                    "QUERY_SYNTAX", message, Span(at, 1), self.text, expected=tuple(f"\\{c}" for c in _SPECIAL)
                )
            escaped.add(at + 1)
            at = self.text.find("\\", at + 2)
        return frozenset(escaped)

    def _refuse_operator(self, written: str, place: Span) -> Exception:
        names = tuple(OPERATOR_NAMES)
        meant = suggest(written, names)
        hint = f" Did you mean {meant!r}?" if meant else ""
        message = f"{show(written)} is no operator.{hint} Operators are {list_names(names)}."
        return refuse("OPERATOR_NOT_ALLOWED", message, place, self.text, expected=names, suggestion=meant)
