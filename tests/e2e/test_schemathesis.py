"""The whole API by its document: Schemathesis makes requests that fit it, and that do not, and checks every answer."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Served, make_environment, open_fake_vendors, serving

ROOT = Path(__file__).parent.parent.parent
CONTACTS = 50
REQUESTS_MIN = 10_000
# Of each operation, by chance; there are thousands more of edges that are the same in each run.
EXAMPLES = 60


@pytest.fixture
def vendors() -> Iterator[dict[str, str]]:
    """Where the fakes of HubSpot and Mailchimp are: nothing leaves this machine."""
    with open_fake_vendors() as (_, said):
        yield {"hubspot_url": said[1], "mailchimp_url": said[2]}


@pytest.fixture
def filled(tmp_path: Path, vendors: dict[str, str]) -> Iterator[Served]:
    with serving(tmp_path, **vendors) as served:
        demo = served.run("demo", "--contacts", str(CONTACTS))
        assert demo.returncode == 0, demo.stderr
        yield served


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_requests_are_answered_as_the_document_says(filled: Served, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/schemathesis.toml", "run"]
    options = ["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES)]
    authorization = ["--header", f"Authorization: Bearer {filled.key}"]
    ran = subprocess.run(
        [*command, f"{filled.url}/openapi.json", *options, *authorization],
        cwd=ROOT,
        env={**make_environment(), "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = re.search(r"^\s*([0-9]+) generated, ([0-9]+) passed", ran.stdout, re.MULTILINE)
    assert summary is not None, ran.stdout
    assert int(summary[1]) == int(summary[2]) >= REQUESTS_MIN, ran.stdout
