"""The whole API by its document: Schemathesis makes requests that fit it, and that do not, and checks every answer."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Served, make_environment, serving

ROOT = Path(__file__).parent.parent.parent
CONTACTS = 50
REQUESTS_MIN = 10_000
# Of each operation, by chance; there are thousands more of edges that are the same in each run.
EXAMPLES = 60


@pytest.fixture
def vendors() -> Iterator[dict[str, str]]:
    """Where the fakes of HubSpot and Mailchimp are: nothing leaves this machine."""
    command = [sys.executable, "-P", "-m", "kith", "fake-vendors", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=make_environment()) as process:
        assert process.stdout is not None
        found = re.match(r"KITH_HUBSPOT_URL=(\S+) KITH_MAILCHIMP_URL=(\S+)", process.stdout.readline())
        assert found is not None
        yield {"hubspot_url": found[1], "mailchimp_url": found[2]}
        process.terminate()


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
