"""``kith dead-letters`` from outside, beside a writer at work."""

import asyncio
import json
import subprocess
from base64 import b64decode
from datetime import timedelta
from typing import Any

import pytest

from kith.engine.apply import writer as apply
from kith.settings import to_environment
from tests.engine.acts import Acts
from tests.kit import Kit
from tests.serving import run_kith

UNREADABLE = b"\x01{"
REFUSED = "a NUL: \x00"


class Desk:
    """An operator at a Kith with two dead letters: an entry that cannot be read, and a command that fails."""

    def __init__(self, kit: Kit, acts: Acts) -> None:
        self.kit = kit
        self.acts = acts
        self.shard = acts.workspace.shard

    async def ask(self, *words: str, code: int = 0) -> Any:
        """What a command prints as JSON."""
        ran = await self.run(*words, "--json")
        assert ran.returncode == code, ran.stderr
        return json.loads(ran.stdout or ran.stderr)

    async def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        settings = {name: value for name, value in to_environment(self.kit.engine.settings, {}).items() if value}
        given = {name.removeprefix("KITH_").lower(): value for name, value in settings.items()}
        return await asyncio.to_thread(run_kith, "dead-letters", *words, **{**given, "database_url": self.kit.url})


@pytest.fixture
async def desk(own_kit: Kit) -> Desk:
    acts = Acts(own_kit.engine, await own_kit.make_workspace("acme"))
    await acts.append(UNREADABLE, acts.make_envelope(name=REFUSED))
    await own_kit.drain()
    return Desk(own_kit, acts)


async def test_dead_letters_are_listed_the_newest_first_and_in_pages(desk: Desk) -> None:
    first, second = f"{desk.shard}:1", f"{desk.shard}:2"
    page = await desk.ask("list")
    assert [letter["id"] for letter in page["data"]] == [second, first]
    assert (page["data"][0]["workspace"], page["data"][0]["outcome"], page["meta"]["next"]) == ("acme", None, None)
    page = await desk.ask("list", "--limit", "1", "--shard", str(desk.shard), "-w", "acme", "--since", "1h", "--open")
    assert ([letter["id"] for letter in page["data"]], page["meta"]["next"]) == ([second], second)
    page = await desk.ask("list", "--limit", "1", "--after", second)
    assert ([letter["id"] for letter in page["data"]], page["meta"]["next"]) == ([first], None)
    await desk.kit.make_workspace("other")
    assert (await desk.ask("list", "-w", "other"))["data"] == []
    assert (await desk.ask("list", "--shard", str(desk.shard + 1)))["data"] == []
    later = desk.kit.engine.clock.now() + timedelta(minutes=1)
    assert (await desk.ask("list", "--since", later.isoformat()))["data"] == []
    shown = (await desk.run("list")).stdout
    assert first in shown and "\x00" not in shown


async def test_one_is_shown_with_its_command_or_its_bytes(desk: Desk) -> None:
    failed = await desk.ask("show", f"{desk.shard}:2")
    assert failed["command"]["command"] == {"type": "CreateContact"} | failed["command"]["command"]
    assert (failed["command"]["command"]["name"], failed["bytes"], failed["unreadable"]) == (REFUSED, None, None)
    assert failed["command"]["operation_id"] == failed["operationId"]
    assert failed["reason"]
    unreadable = await desk.ask("show", f"{desk.shard}:1")
    assert (unreadable["command"], b64decode(unreadable["bytes"])) == (None, UNREADABLE)
    assert unreadable["unreadable"]
    assert "cannot be read" in (await desk.run("show", f"{desk.shard}:1")).stdout
    assert "NOT_FOUND" in str(await desk.ask("show", f"{desk.shard}:99", code=1))
    assert (await desk.run("show", "seventeen")).returncode == 2


async def test_a_retry_tells_what_became_of_it_and_is_not_made_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = desk.acts.make_envelope(name="Ada")
    decode = apply.decode_entry
    with monkeypatch.context() as older:
        older.setattr(apply, "decode_entry", lambda entry: "no" if b"Ada" in entry.data else decode(entry))
        await desk.acts.append(broken)
        await desk.kit.drain()
    place = f"{desk.shard}:3"
    async with desk.kit.living_writer():
        (retried,) = await desk.ask("retry", place)
        assert (retried["outcome"], retried["retryPosition"]) == ("APPLIED", f"{desk.shard}:4")
        assert retried["retriedAt"]
        again = await desk.ask("retry", place, code=1)
        assert "ended APPLIED" in again["error"]["message"]
        assert (await desk.acts.get_operation(broken.operation_id)).status == "APPLIED"
        both = await desk.ask("retry", "--all", "-w", "acme", code=1)
        assert [(letter["id"], letter["outcome"]) for letter in both] == [
            (f"{desk.shard}:1", "SET_ASIDE"),
            (f"{desk.shard}:2", "SET_ASIDE"),
        ]
        assert f"Retry {both[0]['retryPosition']} instead" in (await desk.run("retry", f"{desk.shard}:1")).stderr


async def test_a_retry_that_nobody_waits_for_is_on_the_log(desk: Desk) -> None:
    (waiting,) = await desk.ask("retry", f"{desk.shard}:2", "--wait", "0")
    assert waiting["outcome"] is None
    await desk.kit.drain()
    assert (await desk.ask("show", f"{desk.shard}:2"))["outcome"] == "SET_ASIDE"


@pytest.mark.parametrize(
    "words", [[], ["--all", "1:1"], ["1:1", "--shard", "1"], ["1:1", "--wait", "-1"], ["--all", "--since", "soon"]]
)
async def test_a_retry_that_cannot_be_meant_is_refused(desk: Desk, words: list[str]) -> None:
    assert (await desk.run("retry", *words)).returncode == 2
