"""API keys looked up, trusted for a moment, and looked up again."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from kith.clock import Clock
from kith.model.actors import Actor
from kith.model.workspaces import Workspace
from kith.store.access import FoundKey
from kith.store.database import UNANSWERED

KEPT_MAX = 10_000
UNKNOWN_MS = 500
ASK_AGAIN = timedelta(seconds=1)

# Requests and batch calls for each second, by tier. An enterprise key has figures of its own; without any, no limit.
TIER_RATES: Mapping[str, tuple[int, int]] = {
    "starter": (100, 5),
    "growth": (500, 20),
    "scale": (2000, 100),
    "enterprise": (0, 0),
}


KINDS: Mapping[str, str] = {"server": "srv", "sending": "snd", "public": "pub"}


def hash_key(text: str) -> bytes:
    """What is stored of a key. It has 256 random bits, so a fast hash is as good as a slow one."""
    return hashlib.sha256(text.encode()).digest()


class Caller(msgspec.Struct, frozen=True):
    """A valid key and its workspace. Rates are calls in each second; 0 is no limit."""

    workspace: Workspace
    key_id: int
    actor: Actor
    kind: str
    scopes: frozenset[str]
    tier: str
    rate_per_s: int
    batch_per_s: int
    expires_at: datetime | None = None


class CachedKey(msgspec.Struct, frozen=True):
    """What a look-up found, and when. ``caller`` is None for a key that there is not."""

    caller: Caller | None
    revoked: bool
    at: datetime


class KeyCache:
    """The keys looked up lately, by hash: at most ``KEPT_MAX`` known ones and as many unknown ones.

    A known key is looked up again after ``trust_ms``, so that is how long a revoked one may still work; after
    ``outage_s`` where the database does not answer, which is asked once a second then. Requests with the same key share
    one look-up.
    """

    def __init__(
        self,
        find_key: Callable[[bytes], Awaitable[FoundKey | None]],
        clock: Clock,
        trust_ms: int,
        outage_s: int = 0,
        note_use: Callable[[int, datetime], None] | None = None,
    ) -> None:
        """``note_use`` gets (key, time) when a key that is valid is looked up."""
        self._find_key = find_key
        self._note_use = note_use
        self._clock = clock
        self._trust = timedelta(milliseconds=trust_ms)
        self._outage = timedelta(seconds=outage_s)
        self._failed_at: datetime | None = None
        self._distrust = timedelta(milliseconds=min(UNKNOWN_MS, trust_ms))
        self._known: dict[bytes, CachedKey] = {}
        self._unknown: dict[bytes, CachedKey] = {}
        self._running: dict[bytes, asyncio.Task[CachedKey]] = {}

    async def look_up(self, key_hash: bytes) -> CachedKey:
        now = self._clock.now()
        kept = self._known.get(key_hash) or self._unknown.get(key_hash)
        if kept is not None:
            age = now - kept.at
            # A negative age is a clock that was set back: trust nothing from its future.
            if timedelta(0) <= age < (self._trust if kept.caller else self._distrust):
                return kept
        outlasts = kept is not None and kept.caller is not None and timedelta(0) <= now - kept.at < self._outage
        if outlasts and self._failed_at is not None and timedelta(0) <= now - self._failed_at < ASK_AGAIN:
            assert kept is not None
            return kept
        task = self._running.get(key_hash)
        if task is None:
            task = asyncio.create_task(self._load(key_hash, now))
            self._running[key_hash] = task
            task.add_done_callback(lambda done: self._forget(key_hash, done))
        try:
            return await asyncio.shield(task)
        except UNANSWERED:
            self._failed_at = self._clock.now()
            if kept is None or not outlasts:
                raise
            return kept

    def _forget(self, key_hash: bytes, done: asyncio.Task[CachedKey]) -> None:
        del self._running[key_hash]
        if not done.cancelled():
            done.exception()  # those who wait have it; with nobody left it is no news

    async def _load(self, key_hash: bytes, now: datetime) -> CachedKey:
        found = await self._find_key(key_hash)
        kept = CachedKey(to_caller(found) if found else None, found is not None and found.revoked, now)
        caller = kept.caller
        if caller is not None and self._note_use is not None and not kept.revoked and not has_expired(caller, now):
            self._note_use(caller.key_id, now)
        into, out_of = (self._known, self._unknown) if found else (self._unknown, self._known)
        out_of.pop(key_hash, None)
        into.pop(key_hash, None)
        while len(into) >= KEPT_MAX:
            del into[next(iter(into))]
        into[key_hash] = kept
        return kept


def has_expired(caller: Caller, at: datetime) -> bool:
    return caller.expires_at is not None and caller.expires_at <= at


def to_caller(key: FoundKey) -> Caller:
    rate_per_s, batch_per_s = TIER_RATES[key.tier]
    return Caller(
        workspace=key.workspace,
        key_id=key.key_id,
        actor=Actor("key", str(key.key_id), key.name),
        kind=key.kind,
        scopes=key.scopes,
        tier=key.tier,
        rate_per_s=rate_per_s if key.rate_per_s is None else key.rate_per_s,
        batch_per_s=batch_per_s if key.batch_per_s is None else key.batch_per_s,
        expires_at=key.expires_at,
    )
