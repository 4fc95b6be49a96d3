"""``python -m tools.fake_vendors`` as a real process: the line it prints is all that is needed to speak to it."""

import re
import subprocess
import sys

import httpx2

from tests.serving import ROOT, make_environment, open_fake_vendors


def run_fake_vendors(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tools.fake_vendors", *options]
    return subprocess.run(
        command, cwd=ROOT, env=make_environment(), capture_output=True, text=True, timeout=60, check=False
    )


def test_the_vendors_stand_where_the_line_says_until_they_are_stopped() -> None:
    with open_fake_vendors("--faults", "1", "--seed", "7") as (process, said):
        for url in said[1], said[2]:
            assert re.fullmatch(r"http://127.0.0.1:[0-9]+/.+", url)
        root = httpx2.get(said[1].removesuffix("/hubspot") + "/").json()
        assert root["mailchimp"] == {"a1b2c3d4e5": 0}
        taken = run_fake_vendors("--port", re.split("[:/]+", said[1])[2])
        assert (taken.returncode, taken.stdout) == (1, "")
        assert re.fullmatch("fake-vendors: .* in use; use another --host or --port\n", taken.stderr)
        process.terminate()
        assert process.wait(15) == 0


def test_a_share_of_faults_is_between_none_and_all() -> None:
    refused = run_fake_vendors("--faults", "2")
    assert (refused.returncode, refused.stdout) == (2, "")
