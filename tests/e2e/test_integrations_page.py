"""docs/integrations.md, from its first request to its last: a ``kith serve`` with a fake of both vendors beside it."""

import asyncio
import sys
import time
from pathlib import Path

import asyncpg

from tests.serving import Served, open_fake_vendors, serving
from tests.steps import hold_against, need_programs, open_shell, read_steps, run_step

PAGE = Path(__file__).parent.parent.parent / "docs" / "integrations.md"
PUBLIC = "https://crm.example.com"
PATIENCE_S = 30
SENT = """
SELECT coalesce(bool_and(i.status <> 'ACTIVE' OR i.account IS NOT NULL
  AND i.feed_sequence = c.next_event_sequence - 1
  AND (i.sync IS NULL OR i.sync ->> 'finishedAt' IS NOT NULL)
  AND NOT EXISTS (SELECT FROM sync_jobs j WHERE j.integration_id = i.id AND j.status = 'PENDING')), true)
FROM integrations i JOIN counters c USING (shard, workspace_id) WHERE i.status <> 'DELETED'
"""


def test_what_the_page_of_integrations_shows_is_what_happens(tmp_path: Path) -> None:
    """Also where the workspace `default` has people of the same name."""
    need_programs("curl", "openssl")
    with (
        open_fake_vendors() as (_, said),
        serving(tmp_path, hubspot_url=said[1], mailchimp_url=said[2], webhook_url=PUBLIC) as served,
        open_shell(tmp_path) as shell,
    ):
        places = {
            "http://127.0.0.1:8000": served.url,
            "http://127.0.0.1:8900/hubspot": said[1],
            "http://127.0.0.1:8900/mailchimp/3.0": said[2],
            ".venv/bin/kith": f"{sys.executable} -m kith",
        }
        with served.open_client() as client:
            client.post("/crm/contacts", json={"email": "ada@example.com", "name": "Ada Lovelace"}).raise_for_status()
        for step in read_steps(PAGE):
            script = step.script
            for shown, real in places.items():
                script = script.replace(shown, real)
            hold_against(step, run_step(shell, script))
            # Whoever types is slower than the worker; a test is not.
            asyncio.run(wait_until_sent(served))
    assert {path.name for path in tmp_path.iterdir()} == {served.data.name, served.log.name}, "the page leaves files"


async def wait_until_sent(served: Served) -> None:
    """Until all that was accepted is where it is to be."""
    connection = await asyncpg.connect(served.database_url)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not await connection.fetchval(SENT):
            assert time.monotonic() < deadline, served.log.read_text()
            await asyncio.sleep(0)
    finally:
        await connection.close()
