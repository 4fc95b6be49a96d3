"""What has to be true of a Kith's tables after any faults, held against the ledger of those who wrote."""

import json
import subprocess
from typing import Any, Protocol

import asyncpg
import httpx2

from tests.faults.load import CONFLICTS, Ledger, open_client

DUPLICATES = """
SELECT email, count(*) FROM contacts WHERE status IN ('ACTIVE', 'ARCHIVED') AND email IS NOT NULL
GROUP BY workspace_id, email HAVING count(*) > 1
UNION ALL
SELECT domain, count(*) FROM companies WHERE status IN ('ACTIVE', 'ARCHIVED') AND domain IS NOT NULL
GROUP BY workspace_id, domain HAVING count(*) > 1
UNION ALL
SELECT contact_id::text, count(*) FROM associations WHERE is_primary
GROUP BY workspace_id, contact_id HAVING count(*) > 1
"""
RECORDS = """
SELECT external_id FROM contacts UNION ALL SELECT external_id FROM companies UNION ALL SELECT external_id FROM tags
UNION ALL SELECT external_id FROM activities UNION ALL SELECT external_id FROM properties
"""
# An activity for each write that made one, and none besides.
WRONG_ACTIVITIES = """
SELECT o.resource, a.external_id FROM (SELECT * FROM operations WHERE type = 'LogActivity' AND status = 'APPLIED') o
FULL JOIN activities a ON o.resource = '/crm/activities/' || a.external_id
WHERE o.resource IS NULL OR a.external_id IS NULL
"""
# The version of a record is 1 and one more for each write that changed it: each update here does, of deletes the first.
# A merge changes both contacts and is one event. What was written to a loser may be counted for the winner, so contacts
# that were merged are counted together.
WRONG_VERSIONS = """
WITH counted AS (
  SELECT coalesce(c.merged_into, c.external_id) AS root, count(*) AS members, sum(c.version) AS versions,
    sum(o.created) AS created, sum(o.updated) AS updated, sum(o.deleted) AS deleted, sum(o.merged) AS merged,
    sum(e.changed) AS changed
  FROM contacts c
  LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE type = 'CreateContact') AS created,
      count(*) FILTER (WHERE type = 'UpdateContact') AS updated,
      least(1, count(*) FILTER (WHERE type = 'DeleteContact')) AS deleted,
      count(*) FILTER (WHERE type = 'MergeContacts') AS merged
    FROM operations WHERE resource = '/crm/contacts/' || c.external_id AND status = 'APPLIED'
  ) o ON true
  LEFT JOIN LATERAL (
    SELECT count(*) AS changed FROM events
    WHERE resource = '/crm/contacts/' || c.external_id AND type LIKE 'contact.%'
  ) e ON true
  GROUP BY 1
)
SELECT * FROM counted
WHERE created <> members OR merged <> members - 1
  OR versions <> members + updated + deleted + 2 * merged OR versions <> changed + merged
"""
WRONG_PROPERTY_VERSIONS = """
SELECT p.key, p.version, e.changed FROM properties p LEFT JOIN LATERAL (
  SELECT count(*) AS changed FROM events
  WHERE resource = '/crm/properties/' || p.external_id AND type LIKE 'property.%'
) e ON true
WHERE p.version <> e.changed
"""
# Whatever is held under a property that is in force has its form: each value that is sent fits.
UNCONVERTED = """
SELECT c.external_id, p.key, p.type, c.properties -> p.key FROM contacts c JOIN properties p USING (shard, workspace_id)
WHERE p.entity = 'CONTACT' AND p.status = 'ACTIVE' AND c.properties ? p.key
  AND jsonb_typeof(c.properties -> p.key) <> CASE p.type WHEN 'NUMBER' THEN 'number' ELSE 'string' END
"""
GAPS = "SELECT workspace_id FROM events GROUP BY workspace_id HAVING count(*) <> max(sequence) OR min(sequence) <> 1"
SET_ASIDE = "SELECT reason FROM dead_letters"
NOT_APPLIED = "SELECT count(*) FROM log_head h JOIN cursors c USING (shard) WHERE h.position NOT IN (0, c.position)"


class Running(Protocol):
    """A Kith that runs, as one ``kith serve`` or as a cluster."""

    @property
    def url(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def database_url(self) -> str: ...

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command with its settings, to its end."""
        ...


async def fetch(url: str, sql: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def wait_until_applied(served: Running) -> None:
    """Returns when all that was accepted is applied: a last write, waited for, stands behind it on the same shard."""
    async with open_client(served.key) as client:
        answer = await client.post(
            f"{served.url}/crm/contacts", json={"name": "the last"}, headers={"Prefer": "wait=30"}
        )
    assert answer.status_code == 201, answer.text
    assert await fetch(served.database_url, NOT_APPLIED) == [(0,)]


async def verify(served: Running, ledger: Ledger) -> None:
    """Nothing acknowledged is lost, nothing is applied twice, no email has two owners, each key made one write."""
    await wait_until_applied(served)
    operations = {
        row[0]: row[1:]
        for row in await fetch(served.database_url, "SELECT id, status, error ->> 'code' FROM operations")
    }
    records = {row[0] for row in await fetch(served.database_url, RECORDS)}
    lost = [write for write in ledger.acknowledged if write.operation_id not in operations]
    assert not lost, f"{len(lost)} acknowledged writes are lost: {lost[:5]}"
    for write in ledger.acknowledged:
        status, code = operations[write.operation_id]
        if status == "APPLIED":
            assert write.record_id is None or write.record_id in records, (
                f"{write} is applied, and its record is not there"
            )
        else:
            assert code in (*CONFLICTS, "NOT_FOUND", "INVALID_REQUEST"), (write, code)
    for wrong in (DUPLICATES, WRONG_VERSIONS, WRONG_ACTIVITIES, WRONG_PROPERTY_VERSIONS, UNCONVERTED, GAPS, SET_ASIDE):
        found = await fetch(served.database_url, wrong)
        assert not found, f"{wrong}\n{found[:5]}"
    await verify_replays(served, ledger)
    verify_replay(served)


async def verify_replays(served: Running, ledger: Ledger) -> None:
    """A request that comes yet again with its key is the write that it was, over every kill."""
    async with open_client(served.key) as client:
        for key, write in list(ledger.by_key.items())[:: max(1, len(ledger.by_key) // 200)]:
            method, path, body = ledger.requests[key]
            answer = await client.request(method, served.url + path, json=body, headers={"Idempotency-Key": key})
            check_replay(answer, write.operation_id, write.record_id)


def check_replay(answer: httpx2.Response, operation_id: str, record_id: str | None) -> None:
    assert answer.status_code == 202, answer.text
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert answer.json()["operation"]["id"] == operation_id
    assert answer.json()["data"]["externalId"] == record_id


def verify_replay(served: Running) -> None:
    """The log, applied again to nothing, gives the same tables."""
    ran = served.run("replay", "--check", "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(ran.stdout)["differences"] == []
