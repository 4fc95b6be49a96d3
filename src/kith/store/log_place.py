"""Place of an installation's log, the table or a topic of Kafka: stored, so that no process uses another.

A process that appended to the one while the writer applies the other would acknowledge writes that nobody applies.
"""

from kith.errors import StartError
from kith.settings import Settings
from kith.store.database import Connection
from kith.store.queries import load_queries

IN_POSTGRESQL = "postgresql"
_KAFKA = "kafka:"
_LOCK = 0x6B6C6F67  # "klog"
_SQL = load_queries("log")
# A process that was cut off and comes back with its old settings must not append: nobody would apply it.
_CLOSE_TABLE = "ALTER TABLE command_log ADD CONSTRAINT command_log_is_in_kafka CHECK (false) NOT VALID"
_OPEN_TABLE = "ALTER TABLE command_log DROP CONSTRAINT IF EXISTS command_log_is_in_kafka"


def to_place(settings: Settings) -> str:
    """What the settings name: ``postgresql``, or ``kafka:`` with the topic."""
    return f"{_KAFKA}{settings.kafka_topic}" if settings.kafka_bootstrap else IN_POSTGRESQL


def describe(place: str) -> str:
    return f"in Kafka, topic {place.removeprefix(_KAFKA)}" if place.startswith(_KAFKA) else "in PostgreSQL"


async def load_place(connection: Connection) -> str | None:
    """None for an installation whose log was never opened."""
    place: str | None = await connection.fetchval(_SQL["load_place"])
    return place


async def load_bases(connection: Connection) -> dict[int, int]:
    """The last position of each shard's table, behind which the log in Kafka goes on."""
    return {row["shard"]: row["position"] for row in await connection.fetch(_SQL["load_heads"])}


def check_place(place: str | None, settings: Settings) -> None:
    """Raises StartError where the log is not where the settings say."""
    wanted = to_place(settings)
    if place is None or place == wanted:
        return
    way = f"set KITH_KAFKA_BOOTSTRAP, and KITH_KAFKA_TOPIC to {place.removeprefix(_KAFKA)}"
    if place == IN_POSTGRESQL:
        way = "leave KITH_KAFKA_BOOTSTRAP unset"
    raise StartError(
        f"The log of this installation is {describe(place)}, and the settings say {describe(wanted)}:"
        f" {way}, or stop everything and move the log with `kith migrate-log`."
    )


async def settle_place(connection: Connection, settings: Settings) -> dict[int, int]:
    """As ``check_place``, for a process that will append or apply; what ``load_bases`` answers.

    The first process writes down where the log is. Whoever moves the log meanwhile is waited for, and sees this one.
    """
    place = await connection.fetchval(_SQL["hold_place"])
    if place is None:
        await connection.execute(_SQL["settle_place"], to_place(settings))
        place = await connection.fetchval(_SQL["hold_place"])
        if place is None:
            raise StartError(
                "More is applied than the log in PostgreSQL ever had: it is in Kafka. Set KITH_KAFKA_BOOTSTRAP."
            )
    check_place(place, settings)
    return await load_bases(connection)


async def lock_move(connection: Connection) -> None:
    """For one who moves the log, until the connection ends. Raises StartError where another does."""
    if not await connection.fetchval(_SQL["try_lock"], _LOCK):
        raise StartError("The log is being moved by another `kith migrate-log`.")


async def list_running(connection: Connection) -> list[str]:
    """The parts of Kith that are connected: ``kith writer`` and the like."""
    return [row["name"] for row in await connection.fetch(_SQL["list_running"])]


async def list_behind(connection: Connection) -> list[int]:
    return [row["shard"] for row in await connection.fetch(_SQL["list_behind"])]


async def lock_place(connection: Connection) -> str | None:
    """Within a transaction: no process opens the log until it ends."""
    place: str | None = await connection.fetchval(_SQL["lock_place"])
    return place


async def move_to_kafka(connection: Connection, place: str) -> None:
    """Within a transaction in which the place is locked and all is applied."""
    await connection.execute(_OPEN_TABLE)
    await connection.execute(_CLOSE_TABLE)
    await connection.execute(_SQL["set_place"], place)


async def move_to_table(connection: Connection) -> None:
    """Likewise. What the table still has is older than what was in Kafka, so it goes: a log has no gaps."""
    await connection.execute("TRUNCATE command_log")
    await connection.execute(_OPEN_TABLE)
    await connection.execute(_SQL["end_table_at_cursors"])
    await connection.execute(_SQL["set_place"], IN_POSTGRESQL)
