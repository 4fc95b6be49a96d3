"""Describe why a text is not an email address, without a library's words."""

import string

LOCAL_CHARACTERS_MAX = 64
_LOCAL_SIGNS = frozenset("!#$%&'*+-/=?^_`{|}~.")
_LOCAL = frozenset(string.ascii_letters + string.digits) | _LOCAL_SIGNS
EXAMPLE = "Send an address such as anna@example.com."


def explain_email(text: str) -> str:
    """A sentence on the first fault that is found, and what to send instead."""
    return f"{_find_fault(text)} {EXAMPLE}"


def _find_fault(text: str) -> str:
    local, at, domain = text.rpartition("@")
    odd = next((sign for sign in local if sign.isascii() and sign not in _LOCAL), None)
    faults = (
        (not at, "It has no @."),
        ("<" in text or ">" in text, "It has a name or angle brackets around the address."),
        ("@" in local, "It has more than one @."),
        (not local, "Nothing stands before the @."),
        (not domain, "Nothing stands after the @."),
        (any(sign.isspace() for sign in text), "It has a space or a line break in it."),
        (".." in text, "It has two dots in a row."),
        ('"' in local, "The part before the @ is in quotation marks."),
        (local.startswith(".") or local.endswith("."), "The part before the @ begins or ends with a dot."),
        (len(local) > LOCAL_CHARACTERS_MAX, f"More than {LOCAL_CHARACTERS_MAX} characters stand before the @."),
        (odd is not None, f"The character {odd!r} cannot stand before the @."),
        (domain.startswith("["), "An IP address stands after the @, and not a domain."),
        ("." not in domain, "The domain after the @ has no dot."),
    )
    return next((fault for is_there, fault in faults if is_there), "The domain after the @ is not valid.")
