"""What every test may ask for: servers, databases, workspaces with keys, and a client that speaks HTTP."""

import os
from collections.abc import AsyncIterator

import hypothesis
import pytest

from tests.postgres import REQUIRED, Cluster, start_server

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


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """The server of the run."""
    version = int(request.config.getoption("--postgres"))
    server = await start_server(tmp_path_factory.mktemp("postgres"), version, PARTITIONS)
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


@pytest.fixture
async def database_url(postgres: Cluster) -> str:
    """A database of the test's own, with the newest schema and nothing in it."""
    return await postgres.make_database()
