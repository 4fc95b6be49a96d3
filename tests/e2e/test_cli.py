"""The command line from outside: what it prints, in which form, and with which exit code."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer import Exit
from typer.exceptions import TyperException
from typer.main import get_command

from kith.cli import demo, main
from kith.cli.app import app
from kith.cli.sections import SECTIONS, rephrase
from kith.engine.admin.keys import SCOPES
from kith.settings import SETTINGS, find_unknown
from tests.postgres import Cluster
from tests.serving import Served, make_environment, run_kith

COMMANDS = [
    "serve",
    "init",
    "api",
    "writer",
    "worker",
    "settings",
    "status",
    "openapi",
    "replay",
    "migrate-log",
    "backup",
    "restore",
    "psql",
    "query",
    "parse",
    "demo",
    "workspaces create",
    "workspaces list",
    "workspaces set",
    "workspaces show",
    "keys create",
    "keys list",
    "keys revoke",
    "cluster distribute",
    "dead-letters list",
    "dead-letters show",
    "dead-letters retry",
    "secrets new",
    "secrets rotate",
]


def read_json(ran: "subprocess.CompletedProcess[str]") -> Any:
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


class Terminal:
    """Runs commands on one database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def run(self, *arguments: str) -> Any:
        """What a command that succeeds prints as JSON."""
        return read_json(run_kith(*arguments, "--json", database_url=self._url))

    def show(self, *arguments: str) -> str:
        """What a command that succeeds prints for people."""
        ran = run_kith(*arguments, database_url=self._url)
        assert (ran.returncode, "\x1b" in ran.stdout) == (0, False), ran.stderr
        return ran.stdout

    def refuse(self, *arguments: str, code: int = 1) -> str:
        """The error of a command that does not."""
        ran = run_kith(*arguments, database_url=self._url)
        assert (ran.returncode, ran.stdout) == (code, "")
        return ran.stderr


@pytest.fixture
async def empty_database_url(postgres: Cluster) -> str:
    return await postgres.make_database(empty=True)


@pytest.fixture
def terminal(database_url: str) -> Terminal:
    return Terminal(database_url)


RunHere = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunHere:
    """Runs a command that ends before it does anything, in this process; its status and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kith", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, run_here: RunHere) -> None:
    status, said, _ = run_here(*command.split(), "--help")
    assert status == 0
    assert f"kith {command}" in said
    assert "\x1b" not in said


def test_the_list_of_commands_is_whole() -> None:
    groups = ("workspaces", "keys", "cluster", "dead-letters", "secrets")
    shown = {
        f"{group} {name}".strip()
        for group in ("", *groups)
        for name in re.findall(r"^  ([a-z][a-z-]*) {2,}", run_kith(*group.split(), "--help").stdout, re.MULTILINE)
    }
    assert shown - set(groups) == set(COMMANDS)


def test_commands_are_listed_by_what_they_are_for() -> None:
    said = run_kith("--help").stdout
    assert re.findall(r"^([A-Z][A-Za-z ]+):$", said, re.MULTILINE) == ["Options", *SECTIONS]
    listed = re.findall(r"^  ([a-z][a-z-]*) {2,}", said, re.MULTILINE)
    assert listed == [name for names in SECTIONS.values() for name in names]


def test_a_demo_that_is_interrupted_says_what_is_left_and_how_to_go_on(
    run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fill(_: Any, __: str, ___: int, ____: int, tell: Callable[[int], None]) -> None:
        tell(2000)
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "fill", fill)
    status, _, said = run_here("demo", "--contacts", "5000", "-w", "acme")
    assert status == 1
    assert "about 2,000 of 5,000 people are in workspace 'acme' and stay there. The same command adds the rest" in said


def test_init_makes_the_first_workspace_and_key_and_changes_nothing_when_run_again(terminal: Terminal) -> None:
    first = terminal.run("init")
    assert first["workspace"] == "default"
    assert first["key"].startswith("kith_srv_")
    assert terminal.run("init") == {"workspace": "default", "key": None}
    assert "nothing to do" in terminal.show("init")
    (key,) = terminal.run("keys", "list")
    assert (key["workspace"], key["tier"]) == ("default", "enterprise")
    assert key["scopes"] == ["crm:read", "crm:write", "crm:admin"]


def test_workspaces_are_made_listed_and_changed(terminal: Terminal) -> None:
    made = terminal.run("workspaces", "create", "größe", "--timezone", "Europe/Berlin")
    assert made.items() >= {"id": 1, "name": "größe", "timezone": "Europe/Berlin", "strictProperties": False}.items()
    changed = terminal.run("workspaces", "set", "größe", "--strict-properties", "on")
    assert changed.pop("quotas")
    assert changed == {**made, "strictProperties": True}
    assert terminal.run("workspaces", "list") == [changed]
    assert "größe" in terminal.show("workspaces", "list")
    assert "already" in terminal.refuse("workspaces", "create", "größe")
    assert "nothing to change" in terminal.refuse("workspaces", "set", "größe", code=2)


def test_quotas_are_shown_and_changed(terminal: Terminal) -> None:
    made = terminal.run("workspaces", "create", "acme")
    shown = terminal.run("workspaces", "show", "acme")
    quotas = {one["quota"]: one for one in shown.pop("quotas")}
    assert shown == made
    assert quotas["tags"] == {"quota": "tags", "used": 0, "limit": 5000, "source": "default", "meaning": "Tags."}
    assert quotas["tagsPerRecord"]["used"] is None
    changed = ("--quota", "lists=200", "--quota", "bytes=20GB", "--quota", "contacts=none", "--quota", "tags=5")
    terminal.run("workspaces", "set", "acme", *changed)
    told = terminal.run("workspaces", "set", "acme", "--quota", "tags=default")
    assert told == terminal.run("workspaces", "show", "acme"), "a change shows what it has changed"
    quotas = {one["quota"]: one for one in terminal.run("workspaces", "show", "acme")["quotas"]}
    set_to = {name: one["limit"] for name, one in quotas.items() if one["source"] == "set"}
    assert set_to == {"lists": 200, "bytes": 20 * 2**30, "contacts": None}
    assert re.search(r"^contacts +0 +none +set ", terminal.show("workspaces", "show", "acme"), re.MULTILINE)


@pytest.mark.parametrize("wrong", ["lists", "lists=", "lists=-1", "lists=many", "lists=1.5"])
def test_a_quota_that_is_no_quota_is_refused_with_examples(run_here: RunHere, wrong: str) -> None:
    status, _, said = run_here("workspaces", "set", "acme", "--quota", wrong)
    assert (status, "lists=200" in said) == (2, True)


def test_a_key_is_printed_once_in_the_documented_form(terminal: Terminal) -> None:
    terminal.run("workspaces", "create", "acme")
    before = datetime.now(UTC)
    made = terminal.run(
        *("keys", "create", "-w", "acme", "--scope", "crm:admin", "--name", "Website"),
        *("--tier", "scale", "--kind", "sending", "--expires-in", "30d"),
    )
    assert list(made) == ["id", "key", "workspace", "name", "kind", "scopes", "tier", "expiresAt"]
    assert re.fullmatch(r"kith_snd_[A-Za-z0-9_-]{43}", made["key"])
    assert (made["kind"], made["scopes"], made["tier"]) == ("sending", [*SCOPES], "scale")
    expires_at = datetime.fromisoformat(made["expiresAt"])
    assert timedelta(days=30) <= expires_at - before + timedelta(milliseconds=1) < timedelta(days=30, minutes=1)
    rows = terminal.run("keys", "list", "-w", "acme")
    assert (rows[0]["name"], rows[0]["lastUsedAt"]) == ("Website", None)
    listed = json.dumps(rows)
    assert made["key"] not in listed
    assert made["key"][:13] in listed


def test_a_key_for_people_stands_alone_on_standard_output(terminal: Terminal) -> None:
    terminal.run("workspaces", "create", "acme")
    assert re.fullmatch(r"kith_srv_[A-Za-z0-9_-]{43}\n", terminal.show("keys", "create", "--workspace", "acme"))
    assert terminal.run("keys", "list")[0]["scopes"] == ["crm:read", "crm:write"]


def test_a_revoked_key_is_listed_as_such(terminal: Terminal) -> None:
    terminal.run("workspaces", "create", "acme")
    number = terminal.run("keys", "create", "-w", "acme")["id"]
    assert terminal.run("keys", "revoke", str(number)) == {"id": number, "revoked": True}
    assert terminal.run("keys", "list")[0]["revokedAt"] is not None
    assert "kith keys list" in terminal.refuse("keys", "revoke", "99")


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "create"),
        ("keys", "create", "-w", "acme", "--scope", "crm:all"),
        ("keys", "create", "-w", "acme", "--tier", "huge"),
        ("keys", "create", "-w", "acme", "--kind", "secret"),
        ("keys", "create", "-w", "acme", "--expires-in", "0d"),
        ("keys", "create", "-w", "acme", "--expires-in", "soon"),
        ("keys", "create", "-w", "acme", "--rate-per-s", "-1"),
        ("keys", "revoke", "first"),
        ("workspaces", "set", "acme", "--strict-properties", "maybe"),
        ("replay",),
        ("migrate-log", "--to", "kafka", "--give-up-kafka"),
        ("serve", "--port", "65536"),
        ("dance",),
    ],
)
def test_wrong_use_is_explained_with_exit_code_2(run_here: RunHere, arguments: tuple[str, ...]) -> None:
    status, said, refused = run_here(*arguments)
    assert (status, said) == (2, "")
    assert "Error: " in refused


def list_parameters(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, tuple[str, ...], Any]]:
    """(a command, its name, a parameter of it) of all commands below this one."""
    for name, below in getattr(command, "commands", {}).items():
        yield from list_parameters(below, (*path, name))
    if not hasattr(command, "commands"):
        yield from ((command, path, parameter) for parameter in command.params)


def say_what_is_wrong(command: Any, path: tuple[str, ...], *arguments: str) -> str:
    """What the command line says of arguments that are only read; empty where nothing is wrong."""
    try:
        command.make_context(" ".join(path), list(arguments))
    except TyperException as error:
        rephrase(error)
        return error.format_message()
    except Exit:
        pass
    return ""


@pytest.mark.parametrize("value", ["x", "", "-1", "1.5", "99999999999999999999", "\u0663x"])
def test_no_command_says_what_is_wrong_with_a_value_in_the_words_of_a_library(value: str) -> None:
    said = []
    for command, path, parameter in list_parameters(get_command(app)):
        option = [f"{parameter.opts[0]}={value}"] if parameter.param_type_name == "option" else [value]
        said.append(say_what_is_wrong(command, path, *option))
    words = re.compile("Value error|Input should|valid (int|num|str|bool)|unable|parsing|Errno|not possible here")
    assert [line for line in said if words.search(line)] == []
    assert any("is not" in line for line in said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("keys create -w a --tier gold", "'gold' is not one of 'starter', 'growth', 'scale', 'enterprise'."),
        ("keys create -w a --kind srv", "'srv' is not one of 'server', 'sending', 'public'."),
        ("keys revoke abc", "Invalid value for 'ID': 'abc' is not a whole number."),
        ("serve --port 65536", "65536 is not possible; it must be at most 65535."),
        ("query --limit 0", "0 is not possible; it must be at least 1."),
        ("dead-letters retry --all --wait x", "'x' is not a number."),
        ("query --limt 3", "No such option: --limt (Possible options: --limit)"),
        ("query --url x", "No such option: --url\n"),
        ("quer", "No such command 'quer'. Did you mean 'query'?"),
        ("start", "No such command 'start'. `kith --help` lists them."),
        ("keys make", "No such command 'make'. `kith keys --help` lists them."),
    ],
)
def test_wrong_use_is_explained_in_plain_words(run_here: RunHere, arguments: str, message: str) -> None:
    status, _, refused = run_here(*arguments.split())
    assert status == 2 and message in refused


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"url": "http://127.0.0.1:1"}, "No server answers at http://127.0.0.1:1 (connection refused)."),
        (
            {"url": "http://127.0.0.1:x"},
            "KITH_URL is 'http://127.0.0.1:x', which is no address; write http://host:port.",
        ),
        ({"url": "127.0.0.1:1"}, "it must begin with http:// or https://."),
        ({"url": "http://127.0.0.1:1", "key": "\u00e9"}, "KITH_KEY is no API key: it has characters"),
        ({"url": "http://127.0.0.1:1", "key": "kith\r_srv"}, "KITH_KEY is no API key: it has characters"),
        ({"url": "http://127.0.0.1:1", "key": " kith_srv_x\r"}, "No server answers at"),
    ],
)
def test_a_query_without_a_server_says_why_in_plain_words(variables: dict[str, str], message: str) -> None:
    ran = run_kith("query", **{"key": "kith_srv_x", **variables})
    assert (ran.returncode, ran.stdout) == (1, "")
    assert message in ran.stderr and "Errno" not in ran.stderr


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://127.0.0.1:1/x", "PostgreSQL cannot be reached (connection refused)."),
        ("postgresql:///x?host=/nowhere", "PostgreSQL cannot be reached (no such file or directory)."),
        ("nowhere", "KITH_DATABASE_URL is no address of a database (scheme is expected"),
        ("postgresql://127.0.0.1:x/y", "KITH_DATABASE_URL is no address of a database. Write it as in postgresql://"),
    ],
)
@pytest.mark.parametrize("command", ["keys list", "init", "replay --check"])
def test_a_database_that_is_not_there_is_named_in_plain_words(command: str, url: str, message: str) -> None:
    ran = run_kith(*command.split(), database_url=url)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"Error: {message}") and "Errno" not in ran.stderr


def test_an_unknown_workspace_is_an_error_that_lists_those_there_are(terminal: Terminal) -> None:
    for name in ("acme", "default"):
        terminal.run("workspaces", "create", name)
    expected = "No workspace 'nowhere'. There are: acme, default."
    assert terminal.refuse("keys", "create", "-w", "nowhere") == f"Error: {expected}\n"
    as_json = json.loads(terminal.refuse("keys", "list", "-w", "nowhere", "--json"))
    assert as_json == {"success": False, "error": {"code": "NOT_FOUND", "message": expected, "details": None}}


def test_without_a_database_the_way_out_is_named(tmp_path: Path) -> None:
    ran = run_kith("workspaces", "list", "--data", str(tmp_path))
    assert ran.returncode == 1
    assert re.fullmatch(r"Error: No server runs in .*`kith serve`.*KITH_DATABASE_URL\.\n", ran.stderr)


def test_an_empty_database_asks_for_init(empty_database_url: str) -> None:
    terminal = Terminal(empty_database_url)
    assert "kith init" in terminal.refuse("status")
    assert terminal.run("init")["key"]
    assert terminal.run("status")["workspaces"][0]["name"] == "default"


def test_settings_are_listed_without_their_secrets() -> None:
    url = "postgresql://someone:hunter2@db.example.com/kith"
    ran = run_kith("settings", "--json", database_url=url, key="kith_srv_x", secret_keys="opens-all", port="9000")
    listed = {row["variable"]: row["value"] for row in read_json(ran)}
    assert list(listed) == [setting.variable for setting in SETTINGS]
    assert listed["KITH_PORT"] == 9000
    assert "hunter2" not in ran.stdout
    assert "kith_srv_x" not in ran.stdout
    assert "opens-all" not in ran.stdout


def test_the_openapi_document_is_printed_without_a_server() -> None:
    document = read_json(run_kith("openapi"))
    assert document["openapi"].startswith("3.1")
    assert "/crm/contacts" in document["paths"]
    assert document == read_json(run_kith("openapi", "--json"))


def test_commands_work_beside_a_running_server(serve: Served) -> None:
    with serve.open_client() as client:
        made = client.post("/crm/contacts", json={"email": "ada@example.com"}, headers={"Prefer": "wait=10"})
        assert made.status_code == 201
    data = ("--data", str(serve.data))
    status = read_json(run_kith("status", "--json", *data))
    (workspace,) = status["workspaces"]
    assert (workspace["name"], workspace["contacts"]) == ("default", 1)
    assert (status["lag"], len(status["shards"])) == (0, 16)
    assert sum(shard["head"] for shard in status["shards"]) == 1
    assert "default" in run_kith("status", *data).stdout
    report = read_json(run_kith("replay", "--check", "--json", *data))
    assert (report["entries"], report["differences"]) == (1, [])
    assert "contacts" in report["tables"]


EXACT = "5.12345678901234567890123"


def test_a_query_runs_on_the_server_and_is_explained_without_one(serve: Served, tmp_path: Path) -> None:
    with serve.open_client() as client:
        body = {"key": "seats", "entity": "CONTACT", "type": "NUMBER"}
        assert client.post("/crm/properties", json=body, headers={"Prefer": "wait=10"}).status_code == 201
        made = {"email": "ada@example.com", "properties": {"seats": 5}}
        exact = json.dumps(made).replace(": 5}", f": {EXACT}}}")
        assert client.post("/crm/contacts", content=exact, headers={"Prefer": "wait=10"}).status_code == 201
    asked = {"url": serve.url, "key": serve.key}
    found = read_json(run_kith("query", "--where", "seats > 4", "--json", **asked))
    assert ([row["email"] for row in found["data"]], found["meta"]["total"]) == (["ada@example.com"], 1)
    shown = run_kith("query", "--where", "seats > 4", "--select", "email,seats", **asked)
    assert shown.stdout.splitlines()[:2] == ["email            seats", f"ada@example.com  {EXACT}"]
    assert "1 of 1;" in shown.stdout
    assert f'"seats":{EXACT}' in run_kith("query", "--json", **asked).stdout.replace(" ", "")
    nothing = run_kith("query", "--where", "seats > 6", **asked)
    assert "Nothing fits." in nothing.stdout
    wrong = run_kith("query", "--where", "seat > 5", "--json", **asked)
    assert (wrong.returncode, json.loads(wrong.stderr)["error"]["code"]) == (1, "UNKNOWN_FIELD")
    told = read_json(run_kith("parse", "seats>4 or not name=x", "--sql", "--json", **asked))
    assert told["canonical"] == "properties.seats > 4 OR name != x"
    assert "$3" in told["sql"] and told["values"][2:] == [4, "x"]
    alone = {"data": str(tmp_path)}
    assert read_json(run_kith("parse", "name = x", "--json", **alone))["canonical"] == "name = x"
    nobody = run_kith("query", url="http://127.0.0.1:1", **alone)
    assert nobody.returncode == 1 and "set KITH_KEY" in nobody.stderr


@pytest.mark.parametrize(("typed", "offered"), [("kith work", {"workspaces", "worker"}), ("kith keys r", {"revoke"})])
def test_the_shell_completes_commands(typed: str, offered: set[str]) -> None:
    words = typed.split(" ")
    completion = {"_KITH_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "kith"],
        check=True,
        env={**make_environment(), **completion},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert set(ran.stdout.split()) == offered


@pytest.mark.parametrize("command", ["serve", "init", "api", "writer", "worker"])
def test_a_setting_that_does_not_exist_stops_what_would_run_without_it(command: str, tmp_path: Path) -> None:
    ran = run_kith(command, "--data", str(tmp_path / "data"), kafka_boostrap="kafka:9092")
    expected = "Error: No setting is called KITH_KAFKA_BOOSTRAP. Did you mean KITH_KAFKA_BOOTSTRAP?\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", expected)
    assert not (tmp_path / "data").exists()
    assert run_kith(command, "--help", kafka_boostrap="x").returncode == 0


def test_other_commands_warn_about_a_setting_that_does_not_exist() -> None:
    ran = run_kith("settings", "--json", zzz="1")
    assert (ran.returncode, ran.stderr) == (0, "Warning: No setting is called KITH_ZZZ. `kith settings` lists all.\n")
    assert json.loads(ran.stdout)


def test_what_kubernetes_sets_for_a_service_named_kith_is_no_setting() -> None:
    service = {"service_host": "10.0.0.7", "service_port_http": "8000", "port": "tcp://10.0.0.7:8000"}
    ports = {"port_8000_tcp": "tcp://10.0.0.7:8000", "port_8000_tcp_addr": "10.0.0.7"}
    assert find_unknown({f"KITH_{name.upper()}": value for name, value in (service | ports).items()}) is None
    ran = run_kith("settings", "--json", **service, **ports)
    assert ran.stderr == ""
    (port,) = [row["value"] for row in json.loads(ran.stdout) if row["variable"] == "KITH_PORT"]
    assert port == 8000


def test_a_query_goes_to_the_server_of_the_data_folder_wherever_it_listens(serve: Served) -> None:
    folder = str(serve.data)
    with serve.open_client() as client:
        client.post("/crm/contacts", json={"email": "ada@example.com"}, headers={"Prefer": "wait=10"})
    # The command line names the folder; the environment has another server and its key.
    found = run_kith("query", "--data", folder, "--json", url="http://127.0.0.1:1", key="kith_srv_other")
    assert [row["email"] for row in read_json(found)["data"]] == ["ada@example.com"]
    assert [row["email"] for row in read_json(run_kith("query", "--json", data=folder))["data"]] == ["ada@example.com"]
    named = run_kith("query", data=folder, url="http://127.0.0.1:1")
    assert "No server answers at http://127.0.0.1:1" in named.stderr
    parsed = run_kith("parse", "email = x@example.com", "--data", folder, "--json")
    assert read_json(parsed)["canonical"] == 'email = "x@example.com"'
    serve.stop()
    for here in (run_kith("query", "--data", folder), run_kith("query", data=folder)):
        assert (here.returncode, here.stdout) == (1, "")
        assert f"No server runs in the data folder {folder}. Start it with `kith serve --data {folder}`" in here.stderr


def test_psql_opens_the_embedded_database_as_kiths_role(serve: Served) -> None:
    asked = ("-Atc", "SELECT current_user, current_database()")
    assert run_kith("psql", "--data", str(serve.data), *asked).stdout == "kith_app|kith\n"
    assert run_kith("psql", "--superuser", *asked, data=str(serve.data)).stdout == "kith|postgres\n"
    assert "2" in run_kith("psql", "SELECT 1 + 1", data=str(serve.data)).stdout
    refused = run_kith("psql", "--superuser", *asked, database_url="postgresql:///kith")
    assert (refused.returncode, "KITH_DATABASE_URL is set" in refused.stderr) == (1, True)


def test_without_a_server_psql_says_so(tmp_path: Path) -> None:
    ran = run_kith("psql", "--data", str(tmp_path))
    assert (ran.returncode, "No server runs in the data folder" in ran.stderr) == (1, True)
