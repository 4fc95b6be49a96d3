"""From text to words: where tokens begin and end, which words are keywords, what a quoted string says."""

import re
from typing import Literal

import msgspec

from kith.cql.errors import Span, refuse_size
from kith.cql.syntax import TOKENS_MAX

TokenKind = Literal["word", "string", "sign", "(", ")", ",", "end", "unclosed"]
# They cannot stand bare as a field or as a value; other words that the grammar has mean something in their place only.
KEYWORDS = frozenset(
    ("AND", "OR", "NOT", "IN", "BETWEEN", "CONTAINS", "STARTS", "ENDS", "WITH", "HAS", "IS", "ACTIVITIES")
)

_TOKEN = re.compile(
    r"""\s*+(?:
        (?P<word>(?:[^\s"'(),=<>!]|!(?!=))++)
        |(?P<sign><=|>=|<>|!=|==|[=<>])
        |(?P<mark>[(),])
        |(?P<string>"(?:[^"\\]++|\\.|"")*+"|'(?:[^'\\]++|\\.|'')*+')
        |(?P<unclosed>["'])
        |(?P<end>\Z))""",
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(r"""(?:[^\s"'(),=<>!]|!(?!=))++""")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Token(msgspec.Struct, frozen=True, gc=False):
    """``text`` as it is written; ``upper`` is a word in capitals, and ``keyword`` the same where it is reserved."""

    kind: TokenKind
    text: str
    start: int
    upper: str = ""
    keyword: str = ""


class BadEscape(ValueError):
    """A backslash in front of what needs none. ``offset`` is its place in the token."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset


def split_tokens(text: str) -> list[Token]:
    """All tokens, the last one of kind ``end``. One that is ``unclosed`` is followed by nothing but the end.

    Raises QUERY_TOO_COMPLEX.
    """
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        if len(tokens) > TOKENS_MAX:
            count = sum(1 for _ in _TOKEN.finditer(text))
            raise refuse_size("words and signs", TOKENS_MAX, count, Span(0, len(text)), text)
        kind = match.lastgroup
        assert kind is not None
        start = match.start(kind)
        part = match[kind]
        if kind == "word":
            # The grammar's words are ASCII: other letters become these as capitals, and are not meant.
            upper = part.upper() if part.isascii() else ""
            tokens.append(Token("word", part, start, upper, upper if upper in KEYWORDS else ""))
        elif kind == "unclosed":
            tokens.append(Token("unclosed", text[start:], start))
            break
        else:
            tokens.append(Token(part if kind == "mark" else kind, part, start))  # type: ignore[arg-type]
        if kind == "end":
            return tokens
    tokens.append(Token("end", "", len(text)))
    return tokens


def is_word(text: str) -> bool:
    """Whether the text is one word that may stand bare."""
    return _WORD.fullmatch(text) is not None and not (text.isascii() and text.upper() in KEYWORDS)


def unquote(literal: str) -> str:
    """What a quoted string says. Raises BadEscape."""
    quote, inner = literal[0], literal[1:-1]
    if "\\" not in inner:
        return inner.replace(quote * 2, quote)
    parts: list[str] = []
    end = 0
    for match in _ESCAPE.finditer(inner):
        if match[1] not in "\"'\\":
            raise BadEscape(match.start() + 1)
        parts += (inner[end : match.start()].replace(quote * 2, quote), match[1])
        end = match.end()
    parts.append(inner[end:].replace(quote * 2, quote))
    return "".join(parts)


def quote(text: str) -> str:
    """The text as a string of the language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
