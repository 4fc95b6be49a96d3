"""``kith serve``: starts PostgreSQL and the parts, each a process of its own, watches over them, stops them in order.

Everything runs in the main thread: a child ends with the thread that started it, so a killed supervisor leaves nothing.
"""
# ruff: noqa: S603, PLW1509 - the only program started here is this one; preexec_fn only makes system calls

import asyncio
import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import asyncpg
import msgspec
import structlog

from kith.clock import SystemClock
from kith.engine.admin.installation import make_first
from kith.engine.admin.keys import new_key_text
from kith.errors import KithError, StartError
from kith.installation.binaries import Account, find_account, find_user, to_bin_dir, to_identity
from kith.installation.data_folder import DataLock, make_broken, open_data, read_secret, write_address
from kith.installation.embedded import EmbeddedPostgres, die_with_parent
from kith.integrations.credential_store import SECRETS_FILE, Vault, new_key
from kith.processes.identity import Program, find_program
from kith.settings import Settings, to_environment
from kith.store.migrate import migrate

TICK_S = 0.1
BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
SETTLED_S = 10.0  # a part that ran so long did not fail at its start
FIRST_STARTS_MAX = 3
STOP_S = 9.0
PORT_PATIENCE_S = 1.0
SILENCE_S = 10.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What the files of the data folder are for.
KEPT_SECRETS, KEPT_KEY = "the keys of credentials", "the admin key"
KEY_TEXT = re.compile(r"kith_[a-z]+_[A-Za-z0-9_-]{20,}")

logger = structlog.get_logger(__name__)


class Stopped(KeyboardInterrupt):
    """Somebody asked the supervisor to stop; raised in the main thread wherever it is, also in an event loop."""


class Part:
    """A child process that is started again whenever it ends, at longer intervals while it keeps failing."""

    def __init__(self, name: str, start: Callable[[], None], poll: Callable[[], int | None]) -> None:
        self.name = name
        self.failures = 0
        self._start = start
        self._poll = poll
        self._started_at = 0.0
        self._due_at: float | None = None

    def start(self) -> None:
        self._due_at = None
        self._started_at = time.monotonic()
        self._start()

    def tend(self) -> None:
        """Notices that the process ended; starts it again when that is due."""
        now = time.monotonic()
        if self._due_at is None:
            status = self._poll()
            if status is not None:
                self.failures = 1 if now - self._started_at > SETTLED_S else self.failures + 1
                self._put_off(now)
                logger.warning("a part ended and is started again", part=self.name, status=status)
        elif now >= self._due_at:
            try:
                self.start()
            except (KithError, OSError) as error:
                self.failures += 1
                self._put_off(now)
                logger.error("a part cannot be started", part=self.name, reason=str(error))

    def _put_off(self, now: float) -> None:
        self._due_at = now + BACKOFF_S[min(self.failures, len(BACKOFF_S)) - 1]


class Child:
    """``kith api``, ``kith writer`` or ``kith worker`` as a process of its own."""

    def __init__(
        self, command: str, settings: Settings, program: Program, account: Account | None, fds: tuple[int, ...]
    ) -> None:
        self.command = command
        self._arguments = [*program.arguments, "-m", "kith", command]
        self._environment = {**to_environment(settings), **program.environment}
        self._identity = to_identity(account)
        self._fds = (*program.fds, *fds)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._arguments,
            env=self._environment,
            pass_fds=self._fds,
            stdin=subprocess.DEVNULL,
            # Standard output is the supervisor's own.
            stdout=sys.stderr.fileno(),
            # Of its own group: an interrupt from the terminal reaches the supervisor, who stops the parts in order.
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
            **self._identity,
        )

    def poll(self) -> int | None:
        return self._process.poll() if self._process else 0

    def ask_to_stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, deadline: float) -> None:
        """Waits until it ended; past the deadline (of the monotonic clock) it is killed, with all that it started."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("a part did not stop in time and is killed", part=self.command)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def serve(settings: Settings) -> None:
    """Runs everything until SIGTERM or SIGINT, then returns with nothing left running. Raises StartError."""
    raise_when_stopped()
    postgres: EmbeddedPostgres | None = None
    children: list[Child] = []
    data: Path | None = None
    try:
        folder = open_data(Path(settings.data))
        lock = DataLock(folder)
        data = folder
        settings = msgspec.structs.replace(settings, port=check_port(settings.host, settings.port))
        if not settings.database_url:
            postgres = EmbeddedPostgres.start(data, bin_dir=to_bin_dir(settings), lock=lock, user=settings.user)
        url = settings.database_url or (postgres.url if postgres else "")
        settings = make_child_settings(settings, url, data)
        greeting = prepare(settings, data)
        write_address(data, to_address(settings))
        children += make_children(settings, postgres, data)
        parts = [Part(child.command, child.start, child.poll) for child in children]
        for part in parts:
            part.start()
        if postgres:
            parts.insert(0, Part("postgresql", postgres.spawn, postgres.poll))
        wait_until_ready(settings, parts)
        print(greeting)
        print(f"Kith is ready on {to_address(settings)}", flush=True)
        while True:
            for part in parts:
                part.tend()
            if postgres:
                postgres.rotate_log()
            time.sleep(TICK_S)
    except Stopped:
        logger.info("stopping")
    finally:
        for sign in STOP_SIGNALS:
            signal.signal(sign, signal.SIG_IGN)
        if data is not None:
            write_address(data, None)
        stop(children, postgres)


def make_children(settings: Settings, postgres: EmbeddedPostgres | None, data: Path) -> list[Child]:
    """The parts, which run as the user that PostgreSQL runs as; as root where KITH_USER names root."""
    is_root_meant = bool(settings.user) and os.geteuid() == 0 and find_user(settings.user) is None
    account = None if is_root_meant else find_account(data / "postgresql", settings.user)
    fds: tuple[int, ...] = ()
    if account and postgres:
        settings, fds = msgspec.structs.replace(settings, database_url=postgres.held_url), postgres.fds
    program = find_program(account, settings)
    return [Child(command, settings, program, account, fds) for command in ("api", "writer", "worker")]


def raise_when_stopped() -> None:
    """From now on a signal to stop is an exception in the main thread."""
    for sign in STOP_SIGNALS:
        if signal.getsignal(sign) is not signal.SIG_IGN:  # as nohup leaves a hang-up
            signal.signal(sign, _raise_stopped)


def _raise_stopped(_sign: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped


def stop(children: list[Child], postgres: EmbeddedPostgres | None) -> None:
    """First those who take work in, then those who do it, then the database under them."""
    deadline = time.monotonic() + STOP_S
    for some, spare_s in ((children[:1], 4.5), (children[1:], 2.5)):
        for child in some:
            child.ask_to_stop()
        for child in some:
            child.wait(deadline - spare_s)
    if postgres:
        postgres.stop(max(1.0, deadline - 1.0 - time.monotonic()))


def make_child_settings(settings: Settings, url: str, data: Path) -> Settings:
    """What the parts are told: the same, with less time to stop than the whole has."""
    grace_s = max(1, min(settings.shutdown_grace_s, 8) // 2)
    secret_keys = settings.secret_keys or keep_secret_keys(data / SECRETS_FILE)
    return msgspec.structs.replace(
        settings, database_url=url, data=str(data), shutdown_grace_s=grace_s, secret_keys=secret_keys
    )


def keep_secret_keys(path: Path) -> str:
    """The keys for credentials in the data folder. Checked here: the API would end at once, and again."""
    text, _ = keep(path, new_key, KEPT_SECRETS)
    try:
        Vault(text)
    except StartError:
        raise make_broken(path, KEPT_SECRETS, "it holds no such key") from None
    return text


def check_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Raises StartError when it cannot be listened on.

    What listened before may be on its way out, so a taken port is tried again for a moment.
    """
    deadline = time.monotonic() + PORT_PATIENCE_S
    while True:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                # Two may be bound with the option above; only one can listen.
                listener.listen()
                return int(listener.getsockname()[1])
        except socket.gaierror as error:
            raise StartError(f"{host!r} is no address of this machine ({error.strerror}); see --host.") from None
        except OSError as error:
            if time.monotonic() < deadline:
                time.sleep(TICK_S)
                continue
            reason = (error.strerror or str(error)).lower()
            raise StartError(
                f"Port {port} on {host} cannot be used ({reason}). "
                "Stop what listens there, or choose another with --port."
            ) from None


def prepare(settings: Settings, data: Path) -> str:
    """Schema, first workspace and admin key; answers what to tell the user."""
    path = data / "admin.key"
    text, is_new = keep(path, lambda: new_key_text("server"), KEPT_KEY)
    if not KEY_TEXT.fullmatch(text):
        raise make_broken(path, KEPT_KEY, "it holds no API key")
    if not asyncio.run(prepare_database(settings, text)):
        if is_new:
            path.unlink()
        wrong = f"put its admin key into {path}" if is_new else f"{path} is none of them"
        return f"This database has keys already: {wrong}, or `kith keys create --workspace default` makes another."
    if not is_new:
        return f"The admin key is in {path}"
    return "\n".join(
        [
            f"Your admin key, also kept in {path}:",
            "",
            f"  {text}",
            "",
            "Make a contact:",
            "",
            f"  curl {to_address(settings)}/crm/contacts \\",
            f'    -H "Authorization: Bearer {text}" \\',
            """    -H "Content-Type: application/json" -d '{"email": "alan@example.com", "name": "Alan Turing"}'""",
            "",
        ]
    )


def keep(path: Path, make_text: Callable[[], str], what: str) -> tuple[str, bool]:
    """(the secret in the file, whether it is new). On disk before it is used, so that it cannot be lost."""
    if kept := read_secret(path, what):
        return kept, False
    text = make_text()
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return text, True


async def prepare_database(settings: Settings, key_text: str) -> bool:
    """Brings the schema up to date; True when the key is one of this installation's."""
    await migrate(settings.database_url, settings.partitions)
    connection = await asyncpg.connect(settings.database_url)
    try:
        return await make_first(connection, SystemClock(), key_text)
    finally:
        await connection.close()


def wait_until_ready(settings: Settings, parts: list[Part]) -> None:
    """Returns when the API says that all is there. Raises StartError when a part keeps failing before that."""
    speak_at = time.monotonic() + SILENCE_S
    while reason := find_missing(settings):
        for part in parts:
            part.tend()
            if part.failures >= FIRST_STARTS_MAX:
                raise StartError(f"`kith {part.name}` ended {part.failures} times while starting; its reason is above.")
        if time.monotonic() > speak_at:
            speak_at += SILENCE_S
            logger.warning("not ready yet", reason=reason)
        time.sleep(TICK_S / 4)


def find_missing(settings: Settings) -> str | None:
    """None when the API answers that all parts are there, else what it answers, or why it does not."""
    with _open_http(settings) as connection:
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
    return None if answer.status == http.client.OK else said or str(answer.status)


@contextlib.contextmanager
def _open_http(settings: Settings) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(to_reachable(settings.host), settings.port, timeout=5)
    try:
        yield connection
    finally:
        connection.close()


def to_reachable(host: str) -> str:
    """The address at which a server on this machine that listens on ``host`` can be reached."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def to_address(settings: Settings) -> str:
    host = to_reachable(settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
