"""``kith fake-vendors`` as a real process: the line it prints is all that is needed to speak to it."""

import re
import signal
import subprocess
import sys

import httpx2

from tests.serving import make_environment, run_kith


def test_the_vendors_stand_where_the_line_says_until_they_are_stopped() -> None:
    command = [sys.executable, "-P", "-m", "kith", "fake-vendors", "--port", "0", "--faults", "1", "--seed", "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=make_environment()) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.fullmatch(r"KITH_HUBSPOT_URL=(\S+) KITH_MAILCHIMP_URL=(\S+) with the tokens (\S+) and (\S+)\n", said)
        try:
            assert found is not None
            for url in found[1], found[2]:
                assert re.fullmatch(r"http://127.0.0.1:[0-9]+/.+", url)
            root = httpx2.get(found[1].removesuffix("/hubspot") + "/").json()
            assert root["mailchimp"] == {"a1b2c3d4e5": 0}
            taken = run_kith("fake-vendors", "--port", re.split("[:/]+", found[1])[2])
            assert (taken.returncode, taken.stdout, "in use" in taken.stderr) == (1, "", True)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0


def test_a_share_of_faults_is_between_none_and_all() -> None:
    refused = run_kith("fake-vendors", "--faults", "2")
    assert (refused.returncode, refused.stdout) == (2, "")
