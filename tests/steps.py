"""The shell blocks of documents: run in order, as they stand, and what comes is held against what they show."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import REQUIRED
from tests.serving import make_environment

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "--- end of step"


@dataclass(frozen=True)
class Step:
    """A shell block, and the block behind it that shows what it prints, if there is one."""

    script: str
    kind: str | None = None
    shown: str = ""


def read_steps(path: Path) -> Iterator[Step]:
    blocks = BLOCK.findall(path.read_text())
    for n, (kind, text) in enumerate(blocks):
        if kind == "sh":
            following = blocks[n + 1] if n + 1 < len(blocks) else ("", "")
            yield Step(text, *following) if following[0] in {"json", "http"} else Step(text)


def need_programs(*names: str) -> None:
    """Skips a test where one is missing; fails it where nothing may be."""
    for name in names:
        if shutil.which(name) is None:
            (pytest.fail if REQUIRED else pytest.skip)(f"{name} is not installed (apt-get install {name})")


def hold_against(step: Step, output: str) -> None:
    """What a step printed, and what stands below it."""
    if step.kind == "json":
        check_shape(json.loads(step.shown), json.loads(output), step.script)
    elif step.kind == "http":
        for line in step.shown.splitlines():
            seen = any(matches(line, one) for one in output.splitlines())
            assert seen, f"{step.script}{line!r} is not in\n{output}"


@contextmanager
def open_shell(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        ["bash", "-euo", "pipefail"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=make_environment(),
    ) as shell:
        yield shell


def run_step(shell: "subprocess.Popen[str]", script: str) -> str:
    """What the block prints, errors too. The shell ends at the first command that fails."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{script}\necho; echo '{END}'\n")
    shell.stdin.flush()
    lines = []
    for line in shell.stdout:
        if line == f"{END}\n":
            return "".join(lines)
        lines.append(line)
    raise AssertionError(f"{script}failed:\n{''.join(lines)}")


def matches(shown: str, actual: str) -> bool:
    """``…`` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), actual) is not None


def check_shape(shown: Any, actual: Any, where: str) -> None:
    """The same keys, unless "…" says that there are more; the same values, but for what "…" stands for."""
    if shown == "…":
        return
    assert type(shown) is type(actual), f"{where}: {actual!r} is shown as {shown!r}"
    if isinstance(shown, Mapping):
        wanted = shown.keys() - {"…"}
        missing, more = wanted - actual.keys(), actual.keys() - wanted
        assert not missing, f"{where}: {missing} shown, not there"
        assert "…" in shown or not more, f"{where}: {more} there, not shown"
        for key in wanted:
            check_shape(shown[key], actual[key], f"{where}.{key}")
    elif isinstance(shown, list):
        assert len(shown) == len(actual), f"{where}: {len(actual)} are there, {len(shown)} shown"
        for n, (one, other) in enumerate(zip(shown, actual, strict=True)):
            check_shape(one, other, f"{where}[{n}]")
    elif isinstance(shown, str):
        assert matches(shown, actual), f"{where}: {actual!r} is shown as {shown!r}"
    else:
        assert shown == actual, where
