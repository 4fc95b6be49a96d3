"""Documents are tests: what they show is run, what they name exists, and what exists is named."""

import ast
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest

from kith.api import metrics
from kith.api.routes import TABLE
from kith.engine.read import slow_queries as watching
from kith.errors import CODES
from kith.installation.data_folder import EVERYDAY
from kith.log.kafka_topic import to_group
from kith.model.properties import PropertyEntity, PropertyGroup, PropertyType
from kith.settings import SETTINGS, Settings
from tests.serving import Served
from tests.steps import BLOCK, hold_against, need_programs, open_shell, read_steps, run_step
from tools.reference import PAGES, get_tree, walk_commands

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# Whose blocks are run: by the test below, or by one of their own in tests/e2e.
SHOWN = ("README.md", "docs/tour.md", "docs/properties.md", "docs/lists.md", "docs/cql.md")
RUN = {*SHOWN, "docs/integrations.md", "docs/operations.md"}
LINK = re.compile(r"\[[^\]]*\]\(([^)#]*)(?:#([^)]*))?\)")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES)
def test_a_reference_page_is_what_the_program_says(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == PAGES[page](), "run `make docs`"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_between_documents_leads_somewhere(path: Path) -> None:
    wrong = []
    for link, anchor in LINK.findall(path.read_text()):
        if not link.startswith("http"):
            place = path.parent / link if link else path
            if not place.exists() or (anchor and anchor not in list_anchors(place)):
                wrong.append(f"{link}#{anchor}")
    assert wrong == []


def list_anchors(path: Path) -> set[str]:
    """How a link names each heading."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_setting_that_a_document_names_exists(path: Path) -> None:
    known = {setting.variable for setting in SETTINGS} | {"KITH_TEST_REQUIRE", "KITH_TEST_KILLS", "KITH_TEST_SEED"}
    assert set(re.findall(r"\bKITH_[A-Z_]+\b(?!…)", path.read_text())) - known == set()


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
    named = {found.rstrip(".,") for found in re.findall(r"(?<!/hubspot)/crm/[\w./:@{}-]+", text)}
    assert [one for one in named if not any(pattern.fullmatch(one) for pattern in patterns)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_command_with_options_that_a_text_names_takes_them(path: Path) -> None:
    for command in re.findall(r"`((?:\.venv/bin/)?kith [^`]*--[^`]*|make [^`]*)`", path.read_text()):
        check_command(shlex.split(command))


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
    counted = [*vars(metrics).values(), *vars(watching).values()]
    there = [one.describe()[0] for one in counted if isinstance(one, kinds)]
    assert told - {EVERYDAY} == {one.name + ("_total" if one.type == "counter" else "") for one in there}


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


@pytest.mark.parametrize("others", [0, 40])
def test_what_documents_show_happens_in_either_order(others: int, serve: Served) -> None:
    """After `kith demo` or not, no page needs or hinders another; only the tour goes on from the README."""
    need_programs("curl")
    with open_shell(serve.data.parent) as shell:
        if others:
            filled = serve.run("demo", "--contacts", str(others), "--seed", "7")
            assert filled.returncode == 0, filled.stderr
        else:
            run_step(shell, serve.greeting[serve.greeting.index("  curl ") :].split("\n\n")[0])
        for page in (*SHOWN[:1:-1], *SHOWN[:2]) if others else SHOWN:
            type_it(page, serve, shell)
    left = {path.name for path in serve.data.parent.iterdir()}
    assert left == {serve.data.name, serve.log.name}, "a page leaves files in the folder of whoever follows it"


def type_it(page: str, serve: Served, shell: "subprocess.Popen[str]") -> None:
    """All that a page shows, in its order."""
    for step in read_steps(ROOT / page):
        script = step.script.replace("http://127.0.0.1:8000", serve.url)
        output = run_step(shell, script.replace(".venv/bin/kith", f"{sys.executable} -m kith"))
        hold_against(step, output)
        # Whoever types is slower than the writer; a test is not.
        for position in re.findall(r'"position": ?"([^"]+)"', output):
            run_step(shell, f'crm -f -H "X-Read-After: {position}" "{serve.url}/crm/contacts?limit=1"')


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_block_of_a_document_is_run_or_read(path: Path) -> None:
    """``sh`` is run, and ``json`` or ``http`` behind it is what comes; ``console`` is read; ``text`` is a picture."""
    if name(path).removeprefix("docs/") in PAGES:
        return  # it is what the program says, and tests/api/test_documentation.py sends its examples
    blocks = BLOCK.findall(path.read_text())
    fences = re.findall(r"^ *(?:```|~~~).*", path.read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(blocks), f"a block begins with ``` and one word, at the line's start: {fences}"
    for (before, _), (kind, text) in pairwise([("", ""), *blocks]):
        assert kind in ("sh", "json", "http", "console", "text"), f"say what this block is:\n{text}"
        assert kind not in ("json", "http") or before == "sh", f"nothing is held against this:\n{text}"
        assert kind not in ("sh", "json", "http") or name(path) in RUN, f"no test runs {name(path)} (see RUN):\n{text}"
        if kind == "console":
            for line in text.splitlines():
                check_command(shlex.split(line, comments=True))
        elif kind == "text":
            assert not re.search(r"^(make|kith|curl) ", text, re.MULTILINE), f"this is typed:\n{text}"


def check_command(words: list[str]) -> None:
    """That there is such a command, with such options."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        del words[0]
    match words:
        case ["make", *targets]:
            known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
            assert {target for target in targets if not target.startswith("ARGS=")} <= known
        case ["kith", option] if option.startswith("--"):
            assert any(option in known.opts for known in get_tree().params)
        case ["kith" | ".venv/bin/kith", *arguments]:
            command = get_tree()
            while hasattr(command, "commands"):
                command = command.commands[arguments.pop(0)]
            command.make_context("kith", arguments)
        case [".venv/bin/python", "-m", module, *_]:
            assert (ROOT / module.replace(".", "/")).exists()
        case ["docker", "compose", "-f", file, "up"]:
            assert (ROOT / file).exists()
        case [file]:
            assert (ROOT / file).exists()
        case _:
            raise AssertionError(f"nothing says that there is such a command: {words}")


def test_the_site_is_built_without_a_warning() -> None:
    built = subprocess.run(
        [Path(sys.executable).parent / "zensical", "build", "--strict"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*.md")}
    assert [page for page in pages if f"{page}" not in (ROOT / "mkdocs.yml").read_text()] == []
