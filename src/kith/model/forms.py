"""JSON Schema of the values that clients send, for the documentation only.

Nothing is refused here: the checks of the values themselves do that, in better words than a pattern's.
"""

from typing import Annotated, Any

from msgspec import Meta

from kith.ids import NUMBER_DIGITS_MAX, Prefix
from kith.model.values import (
    EMAIL_CHARACTERS_MAX,
    NUMBER_EXPONENT_MAX,
    PROPERTY_KEY_CHARACTERS_MAX,
    PROPERTY_KEYS_MAX,
    TEXT_CHARACTERS_MAX,
)

NUMBER_PATTERN = f"[0-9]{{1,{NUMBER_DIGITS_MAX}}}"
# No text may have a NUL character; one that must say something has another than space.
TEXT_PATTERN = r"^[^\x00]*$"
NAME_PATTERN = r"^[^\x00]*[^\s\x00][^\x00]*$"
EMAIL = {"type": "string", "format": "email", "maxLength": EMAIL_CHARACTERS_MAX}
DOMAIN = {"type": "string", "format": "hostname"}
EMPTY = {"type": "string", "maxLength": 0}
LARGEST = float(10**NUMBER_EXPONENT_MAX)


def make_external_id_pattern(prefix: Prefix) -> str:
    """Of a TypeID: a UUID takes 26 characters of base32, the first of them three bits only."""
    return f"{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}"


def make_id_pattern(*prefixes: Prefix) -> str:
    """Of a number or an external id."""
    return f"^({'|'.join([NUMBER_PATTERN, *map(make_external_id_pattern, prefixes)])})$"


Text = Annotated[str, Meta(extra_json_schema={"maxLength": TEXT_CHARACTERS_MAX})]
Name = Annotated[str, Meta(extra_json_schema={"pattern": NAME_PATTERN, "maxLength": TEXT_CHARACTERS_MAX})]
Email = Annotated[str, Meta(extra_json_schema={"anyOf": [EMAIL, EMPTY]})]
Domain = Annotated[str, Meta(extra_json_schema={"anyOf": [DOMAIN, EMPTY]})]
Moment = Annotated[
    str,
    Meta(
        description="A time; without an offset it is in the workspace's time zone.",
        extra_json_schema={"format": "date-time"},
    ),
]
Properties = Annotated[
    dict[str, Any],
    Meta(
        extra_json_schema={
            "maxProperties": PROPERTY_KEYS_MAX,
            "propertyNames": {"pattern": NAME_PATTERN, "maxLength": PROPERTY_KEY_CHARACTERS_MAX},
        }
    ),
]
Number = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 10**NUMBER_DIGITS_MAX - 1})]
ContactId = Number | Annotated[str, Meta(extra_json_schema={"pattern": make_id_pattern("ctc")})]
CompanyId = Number | Annotated[str, Meta(extra_json_schema={"pattern": make_id_pattern("cmp")})]
TagId = Number | Annotated[str, Meta(extra_json_schema={"pattern": make_id_pattern("tag")})]
MemberId = Number | Annotated[str, Meta(extra_json_schema={"pattern": make_id_pattern("ctc", "cmp")})]
