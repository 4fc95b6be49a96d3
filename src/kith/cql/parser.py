"""From the string form to its syntax tree.

::

    filter     = or_expr
    or_expr    = and_expr { OR and_expr }
    and_expr   = not_expr { AND not_expr }
    not_expr   = { NOT } ( "(" or_expr ")" | relation "(" or_expr ")" | comparison )
    comparison = field ( "=" | "!=" | "<>" | ">" | ">=" | "<" | "<=" ) value
               | field [ NOT ] IN "(" value { "," value } ")"
               | field [ NOT ] BETWEEN value AND value
               | field [ NOT ] ( CONTAINS | STARTS WITH | ENDS WITH ) value
               | field HAS ( ANY | ALL | NONE ) "(" value { "," value } ")"
               | field IS [ NOT ] ( NULL | EMPTY )
               | ACTIVITIES [ "(" part { "," part } ")" ] ( "=" | "!=" | "<>" | ">" | ">=" | "<" | "<=" ) number
    part       = type ( "=" value | IN "(" value { "," value } ")" ) | module "=" value | since value | before value
    field      = word, of which the key of a property may be quoted: properties."shoe size"
    value      = word | string

The parser keeps its own stack of open groups, so parentheses and NOTs cost neither recursion nor more than linear time.
"""

from kith.cql.errors import Span, refuse, refuse_size, show, suggest
from kith.cql.lexer import BadEscape, Token, quote, split_tokens, unquote
from kith.cql.syntax import (
    MANY,
    NULL,
    SIGNS,
    SPELLINGS,
    TEXT_CHARACTERS_MAX,
    ActivityCount,
    Builder,
    Condition,
    Literal,
    Node,
    Syntax,
)

_AFTER_NOT = ("IN", "BETWEEN", "CONTAINS", "STARTS WITH", "ENDS WITH")
_AFTER_FIELD = (*SIGNS, *_AFTER_NOT, "HAS ANY", "HAS ALL", "HAS NONE", "IS NULL", "IS NOT NULL")
_HAS = {"ANY": ("has_any", False), "ALL": ("has_all", False), "NONE": ("has_any", True)}
_MISTAKEN = {
    "==": "=",
    "&&": "AND",
    "&": "AND",
    "||": "OR",
    "|": "OR",
    "!": "NOT",
    "LIKE": "CONTAINS",
    "ILIKE": "CONTAINS",
    "~": "CONTAINS",
}


def parse(text: str, characters_max: int | None = TEXT_CHARACTERS_MAX) -> Syntax:
    """The tree of a filter; of a blank text, one that asks nothing.

    ``characters_max`` is lifted where the program reads what it has printed itself. Raises QUERY_SYNTAX,
    QUERY_TOO_COMPLEX.
    """
    if characters_max is not None and len(text) > characters_max:
        raise refuse_size(
            "characters", characters_max, len(text), Span(characters_max, len(text) - characters_max), text
        )
    return Syntax(_Parser(text).parse(), text, SPELLINGS)


class _Frame:
    """An open group, or, with a name, a relation's: its finished alternatives, and the terms of the one at hand."""

    __slots__ = ("alternatives", "name", "negated", "opened", "terms")

    def __init__(self, opened: Token, name: Token | None = None) -> None:
        self.opened = opened
        self.name = name
        self.alternatives: list[Node] = []
        self.terms: list[Node] = []
        self.negated = False


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = split_tokens(text)
        self.at = 0
        self.in_relation = False
        self.builder = Builder(text)

    def parse(self) -> Node | None:
        first = self.tokens[0]
        if first.kind == "end":
            return None
        frames = [_Frame(first)]
        while True:
            self._read_operand(frames)
            token = self._next()
            while token.kind == ")" and len(frames) > 1:
                self._close(frames, token)
                token = self._next()
            frame = frames[-1]
            if token.keyword == "OR":
                frame.alternatives.append(self.builder.group("AND", frame.terms, _place(frame.opened)))
                frame.terms = []
            elif token.kind == "end" and len(frames) == 1:
                return self._finish(frame)
            elif token.keyword != "AND":
                raise self._refuse_after_operand(token, frames)

    def _read_operand(self, frames: list[_Frame]) -> None:
        """What stands in front of a condition, opening groups, and the condition."""
        while True:
            token = self._next()
            frame = frames[-1]
            if token.keyword == "NOT":
                frame.negated = not frame.negated
            elif token.kind == "(":
                frames.append(_Frame(token))
            elif token.keyword == "ACTIVITIES":
                return self._add(frame, self._read_activities(token))
            elif token.kind == "word" and not token.keyword:
                if self.tokens[self.at].kind != "(":
                    return self._add(frame, self._read_condition(token))
                if self.in_relation:
                    raise self.builder.refuse_nested_relation(token.text, _place(token))
                self.in_relation = True
                frames.append(_Frame(self._next(), token))
            else:
                raise self._refuse_at_operand(token)

    def _close(self, frames: list[_Frame], closing: Token) -> None:
        frame = frames.pop()
        node = self._finish(frame)
        if frame.name is not None:
            self.in_relation = False
            start = frame.name.start
            node = self.builder.relate(frame.name.text, node, Span(start, closing.start + 1 - start))
        self._add(frames[-1], node)

    def _finish(self, frame: _Frame) -> Node:
        place = _place(frame.opened)
        return self.builder.group("OR", [*frame.alternatives, self.builder.group("AND", frame.terms, place)], place)

    def _add(self, frame: _Frame, node: Node) -> None:
        frame.terms.append(self.builder.negate(node) if frame.negated else node)
        frame.negated = False

    def _read_condition(self, first: Token) -> Condition:
        name, place = first.text, _place(first)
        following = self.tokens[self.at]
        if name.endswith(".") and following.kind == "string" and following.start == first.start + len(name):
            name += self._unquote(self._next())
            place = Span(first.start, following.start + len(following.text) - first.start)
        self.builder.count(place)
        start = self.tokens[self.at].start
        operator, negated = self._read_operator()
        last = self.tokens[self.at - 1]
        span = Span(start, last.start + len(last.text) - start)
        return Condition(name, place, operator, negated, span, self._read_values(operator, last.text))

    def _read_operator(self) -> tuple[str, bool]:
        """(positive operator, whether it is negated)."""
        token = self._next()
        if token.kind == "sign" and token.text in SIGNS:
            return SIGNS[token.text]
        negated = token.keyword == "NOT"
        word = self._next() if negated else token
        match word.keyword:
            case "IN" | "BETWEEN" | "CONTAINS":
                return word.keyword.lower(), negated
            case "STARTS" | "ENDS":
                self._expect("WITH", f"after {word.keyword}")
                return f"{word.keyword.lower()}_with", negated
            case "HAS" if not negated:
                which = self._next()
                if which.upper not in _HAS:
                    raise self._refuse(which, tuple(_HAS), "after HAS")
                return _HAS[which.upper]
            case "IS" if not negated:
                what = self._next()
                if negated := what.keyword == "NOT":
                    what = self._next()
                if what.upper not in ("NULL", "EMPTY"):
                    raise self._refuse(what, ("NULL", "EMPTY") if negated else ("NULL", "EMPTY", "NOT"), "after IS")
                return "is_null", negated
        if negated:
            raise self._refuse(word, _AFTER_NOT, "after NOT")
        raise self._refuse(token, _AFTER_FIELD, "after the field")

    def _read_values(self, operator: str, written: str) -> tuple[Literal, ...]:
        if operator == "is_null":
            return ()
        if operator in MANY:
            return self._read_list()
        value = self._read_value(f"after {written.upper()}")
        if operator != "between":
            return (value,)
        self._expect("AND", "between the two values of BETWEEN")
        return value, self._read_value("after BETWEEN … AND")

    def _read_list(self, *, counted: bool = False) -> tuple[Literal, ...]:
        opened = self._expect("(", "before the values of a list")
        values = [self._read_value("in the list", counted=counted)]
        while (token := self._next()).kind == ",":
            values.append(self._read_value("in the list", counted=counted))
        if token.kind != ")":
            raise self._refuse_in_list(token, opened)
        self.builder.check_list(len(values), Span(opened.start, token.start + 1 - opened.start))
        return tuple(values)

    def _read_value(self, where: str, *, counted: bool = False) -> Literal:
        """``counted``: of a count of activities, where null is refused as any other wrong value."""
        token = self._next()
        if token.kind == "string":
            return Literal(self._unquote(token), _place(token))
        if token.kind != "word":
            raise self._refuse(token, ("a value",), where)
        if token.keyword:
            quoted = quote(token.text)
            raise refuse(
                "QUERY_SYNTAX",
                f"Expected a value {where}, found {token.keyword}, a word of the language. As a value it is quoted:"
                f" {quoted}.",
                _place(token),
                self.text,
                expected=("a value",),
                suggestion=quoted,
            )
        if token.text.lower() == NULL and not counted:
            raise self.builder.refuse_null("IS NULL", _place(token), f" The text is quoted: {quote(token.text)}.")
        return Literal(token.text, _place(token))

    def _read_activities(self, name: Token) -> ActivityCount:
        self.builder.count(_place(name))
        limits: dict[str, tuple[Literal, ...]] = {}
        if self.tokens[self.at].kind == "(":
            opened = self._next()
            self._read_activity_filter(limits)
            while (token := self._next()).kind == ",":
                self._read_activity_filter(limits)
            if token.kind != ")":
                raise self._refuse_in_list(token, opened)
        sign = self._next()
        if sign.kind != "sign" or sign.text not in SIGNS:
            raise self._refuse(sign, tuple(SIGNS), "after ACTIVITIES")
        operator, negated = SIGNS[sign.text]
        count = self._read_value(f"after {sign.text}", counted=True)
        singles = {part: limits[part][0] for part in ("module", "since", "before") if part in limits}
        return ActivityCount(
            _place(name), operator, negated, _place(sign), count, types=limits.get("type", ()), **singles
        )

    def _read_activity_filter(self, limits: dict[str, tuple[Literal, ...]]) -> None:
        token = self._next()
        part = token.upper.lower()
        if part not in ("type", "module", "since", "before"):
            raise self._refuse(token, ("type", "module", "since", "before"), "in ACTIVITIES(…)")
        if part in limits:
            message = f"{part} stands twice in ACTIVITIES(…); each part may stand once."
            raise refuse("QUERY_SYNTAX", message, _place(token), self.text)
        if part == "type" and self.tokens[self.at].keyword == "IN":
            self.at += 1
            limits[part] = self._read_list(counted=True)
            return
        if part in ("type", "module"):
            sign = self._next()
            if sign.kind != "sign" or sign.text != "=":
                raise self._refuse(sign, ("=", "IN") if part == "type" else ("=",), f"after {part}")
        limits[part] = (self._read_value(f"after {part}", counted=True),)

    def _next(self) -> Token:
        token = self.tokens[self.at]
        # The end is never passed: asking again gives it again.
        if token.kind != "end":
            self.at += 1
        return token

    def _expect(self, what: str, where: str) -> Token:
        token = self._next()
        if token.kind != what and token.upper != what:
            raise self._refuse(token, (what,), where)
        return token

    def _unquote(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except BadEscape as escape:
            message = r"In a string, \ stands in front of a quote or of another \; write \\ for a \ itself."
            place = Span(token.start + escape.offset, 2)
            raise refuse("QUERY_SYNTAX", message, place, self.text, expected=(r"\\", r"\"", r"\'")) from None

    def _refuse(self, token: Token, expected: tuple[str, ...], where: str, hint: str = "") -> Exception:
        if token.kind == "unclosed":
            message = f"The string that begins here is not closed: {token.text[0]} is missing at its end."
            return refuse("QUERY_SYNTAX", message, _place(token), self.text, expected=(token.text[0],))
        found = "the end of the query" if token.kind == "end" else show(token.text)
        meant = _MISTAKEN.get(token.text.upper())
        if meant is None and token.kind == "word":
            meant = suggest(token.text, expected)
        choice = " or ".join((", ".join(expected[:-1]), expected[-1])) if len(expected) > 1 else expected[0]
        if expected is _AFTER_FIELD:
            choice = "an operator, such as = or CONTAINS,"
        if meant is not None and meant in expected:
            hint = f" Did you mean {meant}?"
        else:
            meant = None
        message = f"Expected {choice} {where}, found {found}.{hint}"
        return refuse("QUERY_SYNTAX", message, _place(token), self.text, expected=expected, suggestion=meant)

    def _refuse_at_operand(self, token: Token) -> Exception:
        following = self.tokens[self.at]
        hint = ""
        if token.keyword and (following.kind == "sign" or following.keyword):
            hint = f" A property of this name is written properties.{token.text}."
        elif token.kind == "string":
            hint = " A field is not quoted; after properties. its key may be."
        expected = ("a field", "NOT", "(", "ACTIVITIES")
        return self._refuse(token, expected, "at the beginning of a condition", hint)

    def _refuse_after_operand(self, token: Token, frames: list[_Frame]) -> Exception:
        opened = frames[-1].opened
        inside = len(frames) > 1
        if token.kind == "end" and inside:
            message = f"The parenthesis that opens at {opened.start} is not closed: a ) is missing."
            return refuse("QUERY_SYNTAX", message, Span(opened.start, 1), self.text, expected=(")", "AND", "OR"))
        if token.kind == ")":
            message = "This ) closes nothing: no parenthesis is open here."
            return refuse("QUERY_SYNTAX", message, _place(token), self.text, expected=("AND", "OR", "the end"))
        before = self.tokens[self.at - 2]
        several = token.kind == "word" and before.kind == "word" and not before.keyword
        hint = " A value of several words is quoted." if several else ""
        return self._refuse(token, ("AND", "OR", ")" if inside else "the end"), "after a condition", hint)

    def _refuse_in_list(self, token: Token, opened: Token) -> Exception:
        if token.kind == "end":
            message = f"The parenthesis that opens at {opened.start} is not closed: a ) is missing."
            return refuse("QUERY_SYNTAX", message, Span(opened.start, 1), self.text, expected=(",", ")"))
        return self._refuse(token, (",", ")"), "in the parentheses")


def _place(token: Token) -> Span:
    return Span(token.start, len(token.text))
