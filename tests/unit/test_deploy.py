"""What is in ``deploy``: units that systemd takes, a compose file that can be read, both of settings that there are."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kith.settings import SETTINGS
from tools.reference import get_tree, walk_commands

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
PARTS = ("api", "worker", "writer")
EXPOSURE_MAX = 2.0


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_there_is_a_unit_for_each_part() -> None:
    assert [path.stem for path in UNITS] == [f"kith-{part}" for part in PARTS]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_its_part(path: Path) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(path.read_text())
    words = unit["Service"]["ExecStart"].split()
    assert words[:2] == ["/usr/local/bin/kith", path.stem.removeprefix("kith-")]
    assert (unit["Service"]["User"], unit["Service"]["Restart"]) == ("kith", "always")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_a_unit_and_finds_it_closed(path: Path, tmp_path: Path) -> None:
    """Where systemd is; with a program that is there."""
    if shutil.which("systemd-analyze") is None:
        return
    copy = tmp_path / path.name
    copy.write_text(path.read_text().replace("/usr/local/bin/kith", sys.executable))
    verified = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert [line for line in verified.stderr.splitlines() if path.name in line] == []
    command = ["systemd-analyze", "security", "--offline=true", copy]
    rated = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", rated.stdout)
    assert found is not None, rated.stdout + rated.stderr
    assert float(found[1]) <= EXPOSURE_MAX


def test_the_compose_file_has_all_that_a_cluster_is_made_of(compose: Any) -> None:
    services = compose["services"]
    assert set(services) == {"postgres", "kafka", "valkey", "init", *PARTS}
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services)
        assert ("image" in service) != ("build" in service), name
    commands = {words.removeprefix("kith ") for words, _ in walk_commands("kith", get_tree())}
    started = [service["command"][0] for service in services.values() if "build" in service and "command" in service]
    assert set(started) <= commands
    mounted = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    files = {name for name in mounted if name.startswith("./")}
    assert mounted - files == set(compose["volumes"])
    assert all((DEPLOY / name).is_file() for name in files)
    assert (DEPLOY / services["api"]["build"]["context"] / services["api"]["build"]["dockerfile"]).is_file()


def test_no_secret_stands_in_the_compose_file_and_nothing_is_open_to_a_network(compose: Any) -> None:
    for service in compose["services"].values():
        secrets = [
            value for name, value in service.get("environment", {}).items() if "PASSWORD" in name or "SECRET" in name
        ]
        assert all(value.startswith("${") for value in secrets)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_role_of_kith_owns_its_database_and_is_no_superuser(compose: Any) -> None:
    postgres = compose["services"]["postgres"]
    assert "POSTGRES_USER" not in postgres["environment"]  # the image would make a superuser of it
    [script] = [one for one in postgres["volumes"] if "/docker-entrypoint-initdb.d/" in one]
    statements = (DEPLOY / script.split(":")[0]).read_text()
    user, database = re.findall(
        r"//(\w+):.*@postgres:\d+/(\w+)", compose["x-kith"]["environment"]["KITH_DATABASE_URL"]
    )[0]
    assert re.findall(r"CREATE .*", statements) == [
        f"CREATE ROLE {user} LOGIN PASSWORD :'secret';",
        f"CREATE DATABASE {database} OWNER {user};",
    ]


@pytest.mark.parametrize("path", [path for path in DEPLOY.rglob("*") if path.is_file()], ids=lambda path: path.name)
def test_every_setting_that_is_named_there_exists(path: Path) -> None:
    known = {setting.variable for setting in SETTINGS}
    assert set(re.findall(r"\bKITH_[A-Z_]+\b", path.read_text())) - known == set()


def test_docker_reads_the_compose_file() -> None:
    """Where docker is, with its plugin."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        return
    command = [docker, "compose", "-f", DEPLOY / "compose.yaml", "config", "--quiet"]
    read = subprocess.run(command, env={"POSTGRES_SECRET": "x"}, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr
