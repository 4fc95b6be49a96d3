"""The wheel: its name on PyPI, and that pip, pipx and uv install it where nothing is, as a program that serves."""

import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import httpx2
import pytest

from tests.serving import make_environment

ROOT = Path(__file__).parent.parent.parent
INSTALL_TIMEOUT_S = 300


def run(*command: str | Path, **environment: str) -> str:
    ran = subprocess.run(
        [str(one) for one in command],
        env={**os.environ, **environment},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of pip, pipx and uv, in an environment of their own."""
    folder = tmp_path_factory.mktemp("installers")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/pip", "--disable-pip-version-check", "install", "-q", "pipx", "uv")
    return folder / "bin"


def test_the_distribution_is_kith_crm_and_the_import_and_the_command_are_kith(wheel: Path) -> None:
    """Another project has the name kith on PyPI."""
    assert wheel.name.startswith("kith_crm-")
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
        (metadata,) = [name for name in files if name.endswith(".dist-info/METADATA")]
        assert message_from_bytes(archive.read(metadata))["Name"] == "kith-crm"
        (scripts,) = [name for name in files if name.endswith("entry_points.txt")]
        assert "kith = kith.cli:main" in archive.read(scripts).decode()
        assert {name.split("/")[0] for name in files if ".dist-info" not in name} == {"kith"}
        kept = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.[sl][qu][la]")}
        assert kept <= set(files)


def test_no_page_and_no_message_installs_what_is_somebody_elses() -> None:
    texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py"), *ROOT.glob("deploy/**/*")]
    commands = re.compile(r"(?:pip|pipx|uv tool|uv pip) install\s+(?:-\S+\s+)*['\"]?kith\b(?!-crm)")
    assert [path.name for path in texts if path.is_file() and commands.search(path.read_text())] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("installer", ["pip", "pipx", "uv"])
def test_an_empty_environment_gets_a_kith_that_serves(
    wheel: Path, installers: Path, installer: str, tmp_path: Path
) -> None:
    # What is downloaded is taken from the user's caches, where it is there; nothing else of theirs is.
    home = {"PIP_NO_COMPILE": "1", "PIPX_HOME": f"{tmp_path}/pipx", "PIPX_BIN_DIR": f"{tmp_path}/bin"}
    home |= {"UV_TOOL_DIR": f"{tmp_path}/tools", "UV_TOOL_BIN_DIR": f"{tmp_path}/bin"}
    if installer == "pip":
        run(sys.executable, "-m", "venv", tmp_path)
        run(tmp_path / "bin/pip", "--disable-pip-version-check", "install", "-q", wheel, **home)
    elif installer == "pipx":
        run(installers / "pipx", "install", "--python", sys.executable, wheel, **home)
    else:
        run(installers / "uv", "tool", "install", "--python", sys.executable, wheel, **home)
    program = tmp_path / "bin/kith"
    assert run(program, "--version").startswith("kith ")
    serving = subprocess.Popen(
        [program, "serve", "--port", "0", "--data", tmp_path / "data"],
        env=make_environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout is not None
        said = ""
        while "Kith is ready on" not in said:
            line = serving.stdout.readline()
            assert line, said
            said += line
        found = re.search(r"Kith is ready on (\S+)", said)
        assert found is not None
        assert httpx2.get(f"{found[1]}/readyz").status_code == 200
    finally:
        serving.terminate()
        assert serving.wait(30) == 0
        serving.stdout.close() if serving.stdout else None
