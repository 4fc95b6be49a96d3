"""Two real ``kith writer`` on one log in PostgreSQL: one applies it, the other stands by."""

import re
from collections.abc import Iterator

import httpx2
import pytest

from kith.processes.writer import APPLIES, STANDS_BY
from tests.e2e.test_parts import read_line, start_part
from tests.postgres import connect
from tests.serving import run_kith


@pytest.fixture
def client(database_url: str) -> Iterator[httpx2.Client]:
    """Its writes wait until they are applied."""
    key = run_kith("init", "--json", database_url=database_url).stdout.split('"key":"')[1].split('"')[0]
    with start_part("api", "--port", "0", database_url=database_url) as api:
        found = re.search(r"http://\S+", read_line(api))
        assert found is not None
        headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=20"}
        with httpx2.Client(base_url=found[0], headers=headers, timeout=30) as opened:
            yield opened


def test_the_second_stands_by_and_takes_over_from_one_that_is_killed(database_url: str, client: httpx2.Client) -> None:
    with start_part("writer", database_url=database_url) as first:
        assert read_line(first) == f"{APPLIES}\n"
        assert client.post("/crm/contacts", json={"name": "Ada"}).status_code == 201
        with start_part("writer", database_url=database_url) as second:
            assert read_line(second) == f"{STANDS_BY}\n"
            assert client.post("/crm/contacts", json={"name": "Eve"}).status_code == 201
            assert (first.poll(), second.poll()) == (None, None)
            first.kill()
            assert client.post("/crm/contacts", json={"name": "Zoe"}).status_code == 201
            assert read_line(second) == f"{APPLIES}\n", "and it has said once that it stood by"
            with start_part("writer", database_url=database_url) as third:
                assert read_line(third) == f"{STANDS_BY}\n"
                third.terminate()
                assert third.wait(10) == 0
            second.terminate()
            assert second.wait(10) == 0


async def test_losing_the_lock_ends_no_writer(database_url: str, client: httpx2.Client) -> None:
    """As when PostgreSQL fails over: the two may both be at work for a moment, and the cursor lets one through."""
    with (
        start_part("writer", database_url=database_url) as first,
        start_part("writer", database_url=database_url) as second,
    ):
        lines = {read_line(first), read_line(second)}
        assert lines == {f"{APPLIES}\n", f"{STANDS_BY}\n"}
        async with connect(database_url) as connection:
            for n in range(5):
                await connection.execute(
                    "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_locks l USING (pid)"
                    " WHERE application_name = 'kith writer lock' AND locktype = 'advisory'"
                    " AND datname = current_database()"
                )
                assert client.post("/crm/contacts", json={"email": f"{n}@example.com"}).status_code == 201
        assert (first.poll(), second.poll()) == (None, None)
        assert client.get("/crm/contacts").json()["meta"]["total"] == 5
