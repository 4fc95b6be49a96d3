"""Last use of API keys: gathered in memory, and saved at most once a minute for each key."""

import asyncio
from datetime import datetime, timedelta

import asyncpg
import structlog

from kith.store.database import UNANSWERED, Database
from kith.store.keys import note_used

SAVED_EVERY = timedelta(minutes=1)
# Uses that come while one round is saved wait this long for the next, so that they are saved together.
ROUND_S = 1.0
logger = structlog.get_logger(__name__)


class KeyUses:
    """The uses that are not saved yet, and a task that saves them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unsaved: dict[int, datetime] = {}
        self._saved: dict[int, datetime] = {}
        self._news = asyncio.Event()
        self._saving = asyncio.create_task(self._save_on(), name="save the uses of keys")

    def note(self, key_id: int, at: datetime) -> None:
        """A valid key was used."""
        saved = self._saved.get(key_id)
        if saved is None or at - saved >= SAVED_EVERY:
            self._saved[key_id] = at
            self._unsaved[key_id] = at
            self._news.set()

    async def save(self) -> None:
        """Save what is not saved yet. A failure loses it: the next use of the key is a minute away at most."""
        self._news.clear()
        used, self._unsaved = self._unsaved, {}
        if not used:
            return
        try:
            async with self._database.acquire() as connection:
                await note_used(connection, used, SAVED_EVERY)
        except (*UNANSWERED, asyncpg.PostgresError) as error:
            logger.debug("uses of keys cannot be saved", error=str(error))

    async def close(self) -> None:
        self._saving.cancel()
        await asyncio.gather(self._saving, return_exceptions=True)
        await self.save()

    async def _save_on(self) -> None:
        while True:
            await self._news.wait()
            await self.save()
            await asyncio.sleep(ROUND_S)
