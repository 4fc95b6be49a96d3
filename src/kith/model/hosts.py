"""Names of hosts: cut out of addresses, in letters of other scripts and in IDNA."""

import re

_PORT_OR_PATH = re.compile(r":[0-9]|[/?#]")


def cut_host(text: str) -> str:
    """Of a URL, or of its beginning, the host, without ``www.`` in front."""
    host = text.partition("//")[2] or text
    host = _PORT_OR_PATH.split(host, maxsplit=1)[0] or host
    while host.lower().startswith("www.") and len(host) > len("www."):
        host = host[4:]
    return host


def to_idna(host: str) -> str:
    """Labels that have letters of other scripts become IDNA, where they can."""
    return ".".join(map(_encode_label, host.split(".")))


def to_letters(host: str) -> str:
    """Labels in IDNA become letters, where they can."""
    return ".".join(map(_decode_label, host.split(".")))


def _encode_label(label: str) -> str:
    try:
        return label if label.isascii() else label.encode("idna").decode()
    except UnicodeError:
        return label


def _decode_label(label: str) -> str:
    try:
        return label.lower().encode().decode("idna") if label.lower().startswith("xn--") else label
    except UnicodeError:
        return label
