"""The way to Redis: scripts, one batch on its way at a time, a short wait, and none while Redis does not answer."""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from kith.errors import StartError

BATCH_CALLS_MAX = 200
PROBE_S = 0.25
# Scripts that begin with what the others share.
_LOOKING = ("look", "claim")
_SCRIPTS = (*_LOOKING, "acknowledge", "expire", "doubt", "count")
logger = structlog.get_logger(__name__)


class Unreachable(Exception):
    """Redis does not answer, or did not within its time. What was asked of it may have happened."""


def check_url(url: str) -> None:
    """Raise StartError for what is no URL of a Redis."""
    try:
        parse_url(url)
    except ValueError:
        raise StartError(
            "KITH_REDIS_URL is no URL of a Redis; one begins with redis://, rediss:// or unix://, as in"
            " redis://127.0.0.1:6379/0."
        ) from None


class _Call(NamedTuple):
    script: str
    keys: Sequence[str]
    arguments: Sequence[str | bytes | int]
    done: "asyncio.Future[Any]"


class Trips:
    """Calls that come while a batch is on its way go together into the next one, so replies keep the order of calls.

    After one failure nobody waits any more: all calls fail at once until Redis answers a probe, then ``on_back`` is
    called.
    """

    def __init__(self, url: str, timeout_ms: int) -> None:
        self._timeout_s = timeout_ms / 1000
        check_url(url)
        self._client = Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            client_name="kith",
        )
        self._digests: dict[str, str] = {}
        self._waiting: list[_Call] = []
        self._running: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._fault: str | None = None
        self.on_back: Callable[[], None] = lambda: None

    @property
    def fault(self) -> str | None:
        """Why Redis is not asked at the moment."""
        return self._fault

    async def call(self, script: str, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """What the script answers. Raises Unreachable, at once where Redis is known not to answer."""
        return await self.send(script, keys, *arguments)

    def send(self, script: str, keys: Sequence[str], *arguments: str | bytes | int) -> "asyncio.Future[Any]":
        """As ``call``; it is on its way whether somebody waits for it or not."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Where nobody waits, nobody has to hear of a failure.
        done.add_done_callback(_take_note)
        if self._fault is not None:
            done.set_exception(Unreachable(self._fault))
            return done
        self._waiting.append(_Call(script, keys, arguments, done))
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="ask Redis")
        return done

    async def close(self) -> None:
        """What was sent is on its way to Redis before this ends, if Redis answers."""
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._client.aclose()

    async def _run(self) -> None:
        batch: list[_Call] = []
        try:
            while self._waiting:
                batch = self._waiting[:BATCH_CALLS_MAX]
                del self._waiting[:BATCH_CALLS_MAX]
                async with asyncio.timeout(self._timeout_s):
                    replies = await self._execute(batch)
                self._deliver(batch, replies)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting
            self._give_up(batch, error)
        finally:
            self._running = None

    def _deliver(self, batch: list[_Call], replies: list[Any]) -> None:
        for one, reply in zip(batch, replies, strict=True):
            if isinstance(reply, Exception):
                raise reply
            if not one.done.done():
                one.done.set_result(reply)

    async def _execute(self, batch: list[_Call]) -> list[Any]:
        if not self._digests:
            await self._load_scripts()
        replies = await self._send_batch(batch)
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:  # it was started anew, and has run none of them
            await self._load_scripts()
            for place, reply in zip(unknown, await self._send_batch([batch[n] for n in unknown]), strict=True):
                replies[place] = reply
        return replies

    async def _send_batch(self, batch: list[_Call]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for one in batch:
                pipeline.evalsha(self._digests[one.script], len(one.keys), *one.keys, *one.arguments)
            return await pipeline.execute(raise_on_error=False)

    async def _load_scripts(self) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:
            for name in _SCRIPTS:
                pipeline.script_load(_load_script(name))
            digests = await pipeline.execute()
        self._digests = {name: _to_text(digest) for name, digest in zip(_SCRIPTS, digests, strict=True)}

    def _give_up(self, batch: list[_Call], error: Exception) -> None:
        self._fault = str(error) or type(error).__name__
        logger.warning(
            "Redis does not answer: writes go on, and what other processes have accepted is not foreseen",
            error=self._fault,
        )
        for one in (*batch, *self._waiting):
            if not one.done.done():
                one.done.set_exception(Unreachable(self._fault))
        self._waiting.clear()
        self._probing = asyncio.create_task(self._probe(), name="probe Redis")

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_S)
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._client.connection_pool.disconnect()
                    await self._load_scripts()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is asked again
                self._fault = str(error) or type(error).__name__
                continue
            self._fault = None
            logger.info("Redis answers again")
            self.on_back()
            return


async def find_fault(url: str, timeout_ms: int) -> str | None:
    """Why Redis does not answer; None where it does. For whoever asks once."""
    try:
        async with asyncio.timeout(timeout_ms / 1000), Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
            await client.execute_command("PING")  # type: ignore[no-untyped-call]
    except (RedisError, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return None


@cache
def _load_script(name: str) -> str:
    files = resources.files("kith.pending")
    text = files.joinpath(f"{name}.lua").read_text("utf-8")
    return files.joinpath("find.lua").read_text("utf-8") + text if name in _LOOKING else text


def _to_text(digest: bytes | str) -> str:
    return digest.decode() if isinstance(digest, bytes) else digest


def _take_note(done: "asyncio.Future[Any]") -> None:
    if not done.cancelled():
        done.exception()
