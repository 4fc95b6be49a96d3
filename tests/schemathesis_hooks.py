"""What no schema can say: the reasons for which the API may refuse a request that its document allows.

Schemathesis would take such an answer's status for good in whatever request; here a refusal is, by its code and its
words, one of a rule, or it is a failure. No check is switched off.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import count

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import Failure, ServerError
from schemathesis.openapi.checks import RejectedPositiveData

KEY, AFTER = "Idempotency-Key", "X-Read-After"
numbers = count(1)
known: dict[str, str] = {}

# The codes of refusals, each with what the message says where not all of the code is meant.
RULES: Mapping[str, Sequence[str]] = {
    # Chance uses a key twice, and names a version that is not the record's.
    "IDEMPOTENCY_KEY_REUSED": [""],
    "VERSION_MISMATCH": [""],
    # A cursor is signed.
    "INVALID_CURSOR": [""],
    # A query is a language of its own, with the fields of the workspace.
    "QUERY_SYNTAX": [""],
    "UNKNOWN_FIELD": [""],
    "OPERATOR_NOT_ALLOWED": [""],
    "INVALID_VALUE": [""],
    "QUERY_TOO_COMPLEX": [""],
    "INVALID_REQUEST": [
        # What goes with one another.
        "exclude each other",
        "excludes page",
        "^pagination of type",
        "lies beyond 10,000 rows",
        "goes with rows, not with aggregate",
        "^entity is needed",
        # What depends on what is there.
        "is dynamic: who is on it",
        "that is not deleted has the id",
        "is DELETED. Restore it first",
        "is MERGED into",
        "itself",
        "only a DELETED one can be restored",
        "is a system property of",
        "is static; ",
        "is paused. Resume it first",
        "X-Read-After names",
    ],
    "INVALID_FIELD": [
        # To a schema 82.0 is an integer, and a number may be as small as it likes.
        "must be a whole number",
        "is out of range",
        # A null is told about in the words of the one who wished to clear something.
        "cannot be cleared",
        # What goes with one another.
        "are for SELECT and MULTI_SELECT",
        "is there twice",
        "is for dynamic lists",
        # What the workspace has defined.
        "^properties\\.",
        # What is printable; what a provider takes.
        "must be a name of 1 to 200 characters",
        "^settings",
        "^credentials",
        # One of two, and a list of contacts.
        "^segment",
    ],
    # One of several fields, or one because of another.
    "MISSING_FIELD": [
        "needs at least one of",
        "needs a name or a domain",
        "is needed for a dynamic list",
        "is required",
    ],
    # A made-up token opens no account.
    "PROVIDER_REFUSED": [""],
    # The position is a guess: no writer had got there yet.
    "READ_AFTER_TIMEOUT": [""],
}


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: dict[str, object]) -> None:
    """One API key, no Idempotency-Key twice, and no write that nobody made: for each of these requests are refused."""
    if case.meta is None or not case.meta.generation.mode.is_positive or not case.headers:
        return
    if "Authorization" in case.headers:
        case.headers.pop("X-API-Key", None)
    if KEY in case.headers:
        case.headers[KEY] = f"{case.headers[KEY][:200]}{next(numbers)}"
    if AFTER in case.headers and AFTER in known:
        case.headers[AFTER] = known[AFTER]


@schemathesis.hook
def after_call(_context: HookContext, _case: Case, response: Response) -> None:
    for operation in response.headers.get("operation-location", ()):
        known[AFTER] = operation.rpartition("/")[2]


@schemathesis.hook
def filter_failure(_context: HookContext, failure: Failure, _case: Case, response: Response) -> bool:
    """Whether it is one: not where valid data was refused by a rule."""
    if not isinstance(failure, RejectedPositiveData | ServerError):
        return True
    error = response.json()["error"]
    return not any(re.search(words, error["message"]) for words in RULES.get(error["code"], ()))


@schemathesis.hook
def filter_path_parameters(_context: HookContext, path_parameters: dict[str, object] | None) -> bool:
    """A record's number is null until its create is applied: Schemathesis takes it for the text "null"."""
    return "null" not in (path_parameters or {}).values()
