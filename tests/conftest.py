"""What every test may ask for: servers, databases, workspaces with keys, and a client that speaks HTTP."""

import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import hypothesis
import pytest

from kith.clock import FixedClock
from kith.engine.admin.replay import replay_check
from kith.engine.context.engine import Engine
from kith.model.workspaces import Workspace
from kith.settings import Settings
from tests import row_security
from tests.kafka import Broker, running_broker
from tests.kit import SETTINGS, Kit, open_kit
from tests.postgres import REQUIRED, TEMPLATE, Cluster, start_server, to_url
from tests.redis_server import RedisServer, running_redis
from tests.serving import Served, check_logged, serving
from tests.together import Together

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

PARTITIONS = 4
ROOT_ONLY = "what only root meets"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        choices=["15", "18"],
        default="18",
        help="the PostgreSQL of the run: the wheel's 18 or Debian's 15",
    )

    parser.addoption(
        "--log", choices=["postgres", "kafka"], default="postgres", help="the log of the Kith that tests share"
    )
    parser.addoption(
        "--pending", choices=["memory", "redis"], default="memory", help="the overlay of the Kith that tests share"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if skipped := list_forbidden_skips(terminalreporter):
        terminalreporter.write_line(f"KITH_TEST_REQUIRE=1, and yet {len(skipped)} tests were skipped", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and list_forbidden_skips(reporter) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def list_forbidden_skips(reporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    """Where every service has to be there, a skipped test is a failure."""
    skipped = reporter.stats.get("skipped", []) if REQUIRED else []
    return [report for report in skipped if ROOT_ONLY not in str(report.longrepr)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The log of a server that a failed test has used belongs to its report; a passed one logs no secret."""
    report = yield
    if report.passed:
        try:
            check_logged(f"what was logged by {item.nodeid}", report.capstdout + report.capstderr + report.caplog)
        except AssertionError as error:
            report.outcome, report.longrepr = "failed", str(error)
    served = getattr(item, "funcargs", {}).get("serve")
    if report.failed and isinstance(served, Served):
        report.sections.append(("kith serve", served.log.read_text()))
    return report


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """The server of the run."""
    version = int(request.config.getoption("--postgres"))
    server = await start_server(tmp_path_factory.mktemp("postgres"), version, PARTITIONS)
    if row_security.REQUIRED:
        await row_security.lock_tables(to_url(server.server, TEMPLATE))
    yield server
    server.server.stop()


@pytest.fixture(scope="session", params=[18, 15], ids=["postgresql18", "postgresql15"])
async def each_postgres(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Cluster]:
    """For contract tests: they run on the wheel's PostgreSQL and on Debian's."""
    server = await start_server(tmp_path_factory.mktemp(f"postgres{request.param}"), request.param, PARTITIONS)
    yield server
    server.server.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker of the run, with topics of their own for whoever asks."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The Redis of the run, with names of their own for whoever asks."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def database_url(postgres: Cluster) -> str:
    """A database of the test's own, with the newest schema and nothing in it."""
    return await postgres.make_database()


@pytest.fixture(scope="session")
def make_log_settings(request: pytest.FixtureRequest) -> Callable[[], Settings]:
    """The settings of a Kith on the log and the overlay of the run: a topic of its own, names of its own in Redis."""
    makers: list[Callable[[Settings], Settings]] = []
    if request.config.getoption("--log") == "kafka":
        broker: Broker = request.getfixturevalue("kafka")
        makers.append(broker.make_settings)
    if request.config.getoption("--pending") == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        makers.append(server.make_settings)
    return lambda: functools.reduce(lambda settings, make: make(settings), makers, SETTINGS)


@pytest.fixture(scope="session")
def log_settings(make_log_settings: Callable[[], Settings]) -> Settings:
    return make_log_settings()


@pytest.fixture(scope="session")
async def kit(postgres: Cluster, log_settings: Settings) -> AsyncIterator[Kit]:
    """The Kith that tests share, each in workspaces of its own. At the end its log is replayed and compared."""
    url = await postgres.make_database()
    async with open_kit(url, log_settings) as opened:
        yield opened
        await opened.drain()
    report = await replay_check(url, log_settings)
    assert not report.differences, "the log applied again gives other tables:\n" + "\n".join(report.differences)


@pytest.fixture
def engine(kit: Kit) -> Engine:
    return kit.engine


@pytest.fixture
def drain(kit: Kit) -> Callable[[], Awaitable[None]]:
    """``await drain()`` applies everything that was accepted, now: the way in which tests wait."""
    return kit.drain


@pytest.fixture
async def living_writer(kit: Kit) -> AsyncIterator[None]:
    """The writer works by itself during this test."""
    async with kit.living_writer():
        yield


@pytest.fixture
async def workspace(kit: Kit) -> Workspace:
    return await kit.make_workspace()


@pytest.fixture
async def other_workspace(kit: Kit) -> Workspace:
    return await kit.make_workspace()


@pytest.fixture
async def client(kit: Kit, workspace: Workspace) -> AsyncIterator[httpx2.AsyncClient]:
    """Speaks HTTP with a key of ``workspace`` that may do everything, as often as it likes."""
    async with kit.open_client(await kit.make_key(workspace)) as opened:
        yield opened


@pytest.fixture
async def other_client(kit: Kit, other_workspace: Workspace) -> AsyncIterator[httpx2.AsyncClient]:
    async with kit.open_client(await kit.make_key(other_workspace)) as opened:
        yield opened


@pytest.fixture
async def own_kit(database_url: str, make_log_settings: Callable[[], Settings]) -> AsyncIterator[Kit]:
    """A Kith of the test's own, for tests that break things."""
    async with open_kit(database_url, make_log_settings()) as opened:
        yield opened


@pytest.fixture
def clock() -> FixedClock:
    """Stands still until told to ``advance(seconds)``."""
    return FixedClock(datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC))


@pytest.fixture
async def timed_kit(
    database_url: str, clock: FixedClock, make_log_settings: Callable[[], Settings]
) -> AsyncIterator[Kit]:
    """A Kith of the test's own that lives by ``clock``."""
    async with open_kit(database_url, make_log_settings(), clock) as opened:
        yield opened


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Served]:
    """A real ``kith serve`` on a free port, with its data in a folder of the test's own."""
    with serving(tmp_path) as served:
        yield served
