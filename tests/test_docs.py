"""Documents are tests: what they show is run, what they name exists, and what exists is named."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from tools.reference import PAGES, get_tree, walk_commands

from kith.api import metrics
from kith.api.routes import TABLE
from kith.errors import CODES
from kith.log.kafka_topic import to_group
from kith.model.properties import PropertyEntity, PropertyGroup, PropertyType
from kith.settings import SETTINGS, Settings
from tests.postgres import REQUIRED
from tests.serving import Served, make_environment

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")
END = "--- end of step"


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES)
def test_a_reference_page_is_what_the_program_says(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == PAGES[page](), "run `make docs`"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_between_documents_leads_somewhere(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text()) if not link.startswith("http")]
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_setting_that_a_document_names_exists(path: Path) -> None:
    known = {setting.variable for setting in SETTINGS} | {"KITH_TEST_REQUIRE", "KITH_FAULT_KILLS", "KITH_FAULT_SEED"}
    assert set(re.findall(r"\bKITH_[A-Z_]+\b", path.read_text())) - known == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_error_code_that_a_document_names_exists(path: Path) -> None:
    named = set(re.findall(r'"code": "([A-Z_]+)"', path.read_text()))
    named |= {word for word in re.findall(r"`([A-Z]+_[A-Z_]+)`", path.read_text()) if not word.startswith("KITH_")}
    enums = {"MARKETING_QUALIFIED", "SALES_QUALIFIED", "PAGE_VIEW", "CUSTOM_EVENT"}
    enums |= {*get_args(PropertyEntity), *get_args(PropertyGroup), *get_args(PropertyType)}
    assert named - set(CODES) - enums == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_command_that_a_document_names_exists(path: Path) -> None:
    known = {"kith", *(words for words, _ in walk_commands("kith", get_tree()))}
    groups = {words.rsplit(" ", 1)[0] for words in known if words.count(" ") == 2}
    named = re.findall(r"(?:`|/)kith ([a-z][a-z-]*(?: [a-z]+)?)", path.read_text())
    wrong = [words for words in named if not {f"kith {words}", f"kith {words.split()[0]}"} & (known | groups)]
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_path_that_a_document_names_is_served(path: Path) -> None:
    patterns = [re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(entry.path)) + r"/?") for entry in TABLE]
    text = re.sub(r"^.*\| missing: .*$", "", path.read_text(), flags=re.MULTILINE)
    named = {found.rstrip(".,") for found in re.findall(r"/crm/[\w./:@{}-]+", text)}
    assert [one for one in named if not any(pattern.fullmatch(one) for pattern in patterns)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_make_target_that_a_document_names_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text(), re.MULTILINE)) - targets == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_file_and_test_that_a_document_names_is_there(path: Path) -> None:
    text = path.read_text()
    files = re.findall(r"`((?:src|tests|docs|tools|deploy)/[\w./-]+)`", text)
    assert [file for file in files if not (ROOT / file).exists()] == []
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert [test for file, test in tests if f"def {test}(" not in (ROOT / file).read_text()] == []


def test_the_page_of_coverage_is_true_both_ways() -> None:
    """Each endpoint that there is stands there as shown, each that is missing stands there as missing."""
    rows = re.findall(r"^\| `([A-Z]+ /crm/\S+)` \| (.*) \|$", (ROOT / "docs/api-coverage.md").read_text(), re.MULTILINE)
    endpoints = [endpoint for endpoint, _ in rows]
    assert len(endpoints) == len(set(endpoints))
    shown = {endpoint for endpoint, proof in rows if not proof.startswith("missing")}
    assert shown == {f"{entry.method} {entry.path}" for entry in TABLE if entry.path.startswith("/crm/")}
    assert all("::test_" in proof for _, proof in rows if not proof.startswith("missing"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_module_that_a_document_names_is_there(path: Path) -> None:
    # What Kafka knows under such names is no module.
    topics = {Settings().kafka_topic, to_group(Settings())}
    named = set(re.findall(r"`(kith(?:\.[a-z_]+)+)`", path.read_text())) - topics
    modules = {module.removeprefix("kith") for module in named}
    places = {module: ROOT / "src" / "kith" / module.strip(".").replace(".", "/") for module in modules}
    assert [m for m, place in places.items() if not place.is_dir() and not place.with_suffix(".py").exists()] == []


def test_the_metrics_that_operators_are_told_of_are_those_that_there_are() -> None:
    told = set(re.findall(r"`(kith_(?!srv_|snd_|pub_)[a-z_]+)`", (ROOT / "docs" / "operations.md").read_text()))
    kinds = (metrics.Counter, metrics.Gauge, metrics.Histogram)
    there = [one.describe()[0] for one in vars(metrics).values() if isinstance(one, kinds)]
    assert told == {one.name + ("_total" if one.type == "counter" else "") for one in there}


def test_what_the_runbook_quotes_is_said_somewhere_in_the_program() -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text().split("## Runbook")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0] for line in runbook.splitlines() if line.startswith("| ")]
    quoted = {quote.split("…")[0] for row in rows for quote in re.findall(r'"([^"]+)"', row)}
    assert len(quoted) > 15
    texts = [
        node.value
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [quote for quote in quoted if not any(quote in text for text in texts)] == []


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


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "docs" / "tour.md", ROOT / "docs" / "cql.md"], ids=name)
def test_what_a_document_shows_is_what_happens(path: Path, serve: Served) -> None:
    if shutil.which("curl") is None:
        (pytest.fail if REQUIRED else pytest.skip)("curl is not installed (apt-get install curl)")
    with open_shell(serve.data.parent) as shell, serve.open_client() as reader:
        for step in read_steps(path):
            script = step.script.replace("http://127.0.0.1:8000", serve.url)
            output = run_step(shell, script.replace(".venv/bin/kith", f"{sys.executable} -m kith"))
            if step.kind == "json":
                check_shape(json.loads(step.shown), json.loads(output), step.script)
            elif step.kind == "http":
                for line in step.shown.splitlines():
                    seen = any(matches(line, one) for one in output.splitlines())
                    assert seen, f"{step.script}{line!r} is not in\n{output}"
            # Whoever types is slower than the writer; a test is not.
            for position in re.findall(r'"position": ?"([^"]+)"', output):
                reader.get("/crm/contacts?limit=1", headers={"X-Read-After": position}).raise_for_status()


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
