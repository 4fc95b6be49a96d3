"""Workspaces and keys as operators make them, on every PostgreSQL that is supported."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from kith.clock import FixedClock
from kith.engine.admin.installation import make_first
from kith.engine.admin.keys import create_key, new_key_text, revoke_key
from kith.engine.admin.workspaces import change_workspace, create_workspace, get_workspace
from kith.engine.context.key_cache import KINDS
from kith.errors import InvalidRequest, NotFound
from kith.model.workspaces import make_shard
from kith.store import keys, workspaces
from tests.conftest import PARTITIONS
from tests.postgres import Cluster, connect

CLOCK = FixedClock(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@pytest.fixture
async def connection(each_postgres: Cluster) -> AsyncIterator[asyncpg.Connection]:
    async with connect(await each_postgres.make_database()) as opened:
        yield opened


async def test_workspaces_get_numbers_from_one_and_the_shard_of_their_number(connection: asyncpg.Connection) -> None:
    made = [await create_workspace(connection, CLOCK, name) for name in ("default", "größe ✓", "x" * 100)]
    assert [workspace.id for workspace in made] == [1, 2, 3]
    assert [workspace.shard for workspace in made] == [make_shard(number, PARTITIONS) for number in (1, 2, 3)]
    assert await workspaces.list_workspaces(connection) == made


async def test_workspaces_made_at_once_get_a_number_each(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database()

    async def make(name: str) -> int:
        async with connect(url) as own:
            return (await create_workspace(own, CLOCK, name)).id

    assert sorted(await asyncio.gather(*(make(f"w{n}") for n in range(8)))) == list(range(1, 9))


@pytest.mark.parametrize("name", ["", " ", " a", "a\n", "a\0b", "a\tb", "x" * 101, "\u202eabc", "\ud800"])
async def test_a_name_that_cannot_be_one_is_refused(connection: asyncpg.Connection, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await create_workspace(connection, CLOCK, name)


async def test_a_name_is_taken_in_whatever_unicode_form_it_comes(connection: asyncpg.Connection) -> None:
    await create_workspace(connection, CLOCK, "Caf\u00e9")
    with pytest.raises(InvalidRequest, match="already"):
        await create_workspace(connection, CLOCK, "Cafe\u0301")
    assert (await get_workspace(connection, "Cafe\u0301")).id == 1


async def test_an_unknown_workspace_is_an_error_that_lists_those_there_are(connection: asyncpg.Connection) -> None:
    with pytest.raises(NotFound, match=r"No workspace 'acme'. There are none yet."):
        await get_workspace(connection, "acme")
    for name in ("default", "other"):
        await create_workspace(connection, CLOCK, name)
    with pytest.raises(NotFound, match=r"No workspace 'acme'. There are: default, other."):
        await get_workspace(connection, "acme")


async def test_a_workspace_changes_in_what_is_given_only(connection: asyncpg.Connection) -> None:
    made = await create_workspace(connection, CLOCK, "default", timezone="Europe/Berlin")
    changed = await change_workspace(connection, "default", strict_properties=True)
    assert (changed.timezone, changed.strict_properties) == ("Europe/Berlin", True)
    assert (await change_workspace(connection, "default", timezone="UTC")).strict_properties
    assert (await get_workspace(connection, "default")).shard == made.shard
    with pytest.raises(InvalidRequest, match="No time zone 'Mars/Base'"):
        await change_workspace(connection, "default", timezone="Mars/Base")


async def test_a_quota_is_set_and_gets_its_default_again(connection: asyncpg.Connection) -> None:
    await create_workspace(connection, CLOCK, "default")
    await change_workspace(connection, "default", quotas={"lists": 2, "bytes": None, "tags": 3})
    changed = await change_workspace(connection, "default", timezone="Europe/Berlin", defaults=["tags"])
    assert changed.quotas == {"lists": 2, "bytes": None}
    assert await workspaces.list_workspaces(connection) == [changed]
    for wrong in ({"listen": 1}, {"lists": -1}, {"lists": 2**63}, {"contactProperties": 501}):
        with pytest.raises(InvalidRequest, match="quota"):
            await change_workspace(connection, "default", quotas=wrong)
    with pytest.raises(InvalidRequest, match="There are: contacts, companies"):
        await change_workspace(connection, "default", defaults=["listen"])


@pytest.mark.parametrize("kind", KINDS)
async def test_only_the_hash_of_a_key_is_kept(connection: asyncpg.Connection, kind: str) -> None:
    workspace = await create_workspace(connection, CLOCK, "default")
    text, key = await create_key(connection, CLOCK, workspace, kind=kind, expires_in=timedelta(days=30))
    assert re.fullmatch(rf"kith_{KINDS[kind]}_[A-Za-z0-9_-]{{43}}", text)
    assert key.expires_at == CLOCK.now() + timedelta(days=30)
    row = await connection.fetchrow("SELECT * FROM api_keys")
    assert row["key_hash"] == hashlib.sha256(text.encode()).digest()
    assert text[13:] not in str(dict(row))
    assert await keys.list_keys(connection, workspace) == [key]


async def test_keys_are_listed_by_workspace_and_stay_listed_when_revoked(connection: asyncpg.Connection) -> None:
    first, second = [await create_workspace(connection, CLOCK, name) for name in ("first", "second")]
    _, one = await create_key(connection, CLOCK, first, scopes=["crm:admin"])
    _, two = await create_key(connection, CLOCK, second)
    assert (one.id, two.id, one.scopes) == (1, 2, ("crm:read", "crm:write", "crm:admin"))
    await revoke_key(connection, CLOCK, two.id)
    await revoke_key(connection, FixedClock(CLOCK.now() + timedelta(days=1)), two.id)
    assert [(key.id, key.revoked_at) for key in await keys.list_keys(connection, None)] == [(1, None), (2, CLOCK.now())]
    assert [key.id for key in await keys.list_keys(connection, second)] == [2]


async def test_a_key_has_a_name_that_can_be_printed(connection: asyncpg.Connection) -> None:
    workspace = await create_workspace(connection, CLOCK, "default")
    await create_key(connection, CLOCK, workspace, name="Website")
    await create_key(connection, CLOCK, workspace)
    assert [key.name for key in await keys.list_keys(connection, workspace)] == ["Website", None]
    for wrong in ("", " a", "a" * 101, "a\x1b[31m"):
        with pytest.raises(InvalidRequest, match="A key's name"):
            await create_key(connection, CLOCK, workspace, name=wrong)


async def test_the_last_use_of_a_key_is_written_once_a_minute_by_all_processes(
    connection: asyncpg.Connection,
) -> None:
    workspace = await create_workspace(connection, CLOCK, "default")
    _, key = await create_key(connection, CLOCK, workspace)
    minute, at = timedelta(minutes=1), CLOCK.now()
    for later, written in ((0, 0), (59, 0), (60, 60), (30, 60)):
        await keys.note_used(connection, {key.id: at + timedelta(seconds=later)}, minute)
        (listed,) = await keys.list_keys(connection, workspace)
        assert listed.last_used_at == at + timedelta(seconds=written)


@pytest.mark.parametrize("number", [0, 7, -1, 2**63])
async def test_revoking_a_key_that_there_is_not_is_an_error(connection: asyncpg.Connection, number: int) -> None:
    with pytest.raises(NotFound, match="kith keys list"):
        await revoke_key(connection, CLOCK, number)


@pytest.mark.parametrize("wrong", [{"kind": "secret"}, {"tier": "huge"}, {"scopes": ["crm:all"]}])
async def test_a_choice_that_there_is_not_is_refused_with_those_there_are(
    connection: asyncpg.Connection, wrong: dict[str, str]
) -> None:
    workspace = await create_workspace(connection, CLOCK, "default")
    with pytest.raises(InvalidRequest, match="There are: "):
        await create_key(connection, CLOCK, workspace, **wrong)
    with pytest.raises(InvalidRequest, match="cannot expire"):
        await create_key(connection, CLOCK, workspace, expires_in=timedelta(days=9_999_999))


async def test_a_new_installation_gets_one_workspace_and_one_admin_key_however_often_it_starts(
    connection: asyncpg.Connection,
) -> None:
    text = new_key_text("server")
    assert await make_first(connection, CLOCK, text)
    assert await make_first(connection, CLOCK, text)
    assert not await make_first(connection, CLOCK, new_key_text("server"))
    assert [workspace.name for workspace in await workspaces.list_workspaces(connection)] == ["default"]
    (key,) = await keys.list_keys(connection, None)
    assert (key.name, key.kind, key.tier, key.rate_per_s, key.batch_per_s) == ("admin", "server", "enterprise", 0, 0)
    assert key.scopes == ("crm:read", "crm:write", "crm:admin")
