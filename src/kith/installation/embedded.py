"""PostgreSQL inside the data folder: made, started and stopped as a child of this process.

No other local user gets in: it listens on a Unix socket in a folder of mode 0700, and on nothing else.
"""
# ruff: noqa: S603, PLW1509 - only PostgreSQL's own programs are started here, and preexec_fn only makes system calls

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kith.errors import StartError
from kith.installation.binaries import ENVIRONMENT, find_account, find_binaries, find_version, to_identity
from kith.installation.data_folder import (
    SOCKET_NAME,
    SUPERUSER,
    DataLock,
    Folder,
    make_unwritable,
    open_data,
    open_regular,
    to_socket_folder,
    to_superuser_url,
    to_url,
)
from kith.store.migrate import POSTGRES_VERSION_MIN
from kith.store.queries import load_queries

LOG_BYTES_MAX = 16 * 1024 * 1024
START_TIMEOUT_S = 300.0  # recovery after a crash reads up to max_wal_size of log
LEFTOVER_TIMEOUT_S = 10.0
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(sign: signal.Signals) -> Callable[[], None]:
    """For ``preexec_fn``: the child gets the signal when the thread that started it ends, however it ends."""
    parent = os.getpid()

    def before_exec() -> None:
        if sys.platform == "linux":
            _libc.prctl(PR_SET_PDEATHSIG, int(sign), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return before_exec


def to_options(memory_bytes: int, durable: bool) -> Mapping[str, str]:
    """PostgreSQL's settings for a small server that shares its machine with the other parts."""
    mb = 1024 * 1024
    shared_mb = max(32, min(256, memory_bytes // 8 // mb))
    options = {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "port": "5432",
        "max_connections": "60",
        "shared_buffers": f"{shared_mb}MB",
        "effective_cache_size": f"{max(64, memory_bytes // 2 // mb)}MB",
        "maintenance_work_mem": f"{max(16, min(128, shared_mb // 2))}MB",
        "work_mem": "8MB",
        "huge_pages": "try",
        "jit": "off",
        "random_page_cost": "1.1",
        "fsync": "on",
        "synchronous_commit": "on",
        "wal_compression": "on",
        "wal_buffers": "16MB",
        "min_wal_size": "128MB",
        # Bounds the disk, and how long a restart after a crash takes.
        "max_wal_size": "1GB",
        "checkpoint_timeout": "5min",
        "checkpoint_completion_target": "0.9",
        "autovacuum_naptime": "15s",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.02",
        "autovacuum_vacuum_insert_scale_factor": "0.05",
        "autovacuum_vacuum_cost_limit": "1000",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] ",
        # A client can make statements fail at will: its text, values and context stay out of the log.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "cluster_name": "kith",
    }
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
    return options


def find_memory_bytes() -> int:
    """What this machine, or this container, has."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


class EmbeddedPostgres:
    """A running server. Start it from the thread that will live longest: it goes when that thread does.

    ``durable=False`` trades safety for speed, for tests only. ``bin_dir`` names another PostgreSQL's programs, ``user``
    whom it runs as where root starts it.
    """

    def __init__(
        self,
        data: Path,
        bin_dir: Path | None = None,
        durable: bool = True,
        lock: DataLock | None = None,
        user: str = "",
    ) -> None:
        self._data = open_data(data)
        self._durable = durable
        self._owns_lock = lock is None
        self._lock = lock or DataLock(self._data)
        self._folders: list[Folder] = []
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._prepare(bin_dir, user)
        except BaseException:
            self._close()
            raise

    @classmethod
    def start(
        cls,
        data: Path,
        *,
        bin_dir: Path | None = None,
        durable: bool = True,
        lock: DataLock | None = None,
        user: str = "",
    ) -> Self:
        """Makes the cluster where there is none, starts the server and waits until it answers. Raises StartError."""
        server = cls(data, bin_dir, durable, lock, user)
        try:
            server.spawn()
            server.wait_until_ready()
            server.make_role()
        except BaseException:
            server.stop()
            raise
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """For Kith: as a role without a superuser's rights."""
        return to_url(self._socket_folder.path)

    @property
    def held_url(self) -> str:
        """The same for a child that has ``fds``, and may not reach the data folder by its path."""
        return to_url(Path(self._socket_folder.name))

    @property
    def fds(self) -> tuple[int, ...]:
        return (self._socket_folder.fd,)

    @property
    def superuser_url(self) -> str:
        return to_superuser_url(self._socket_folder.path)

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def poll(self) -> int | None:
        """None while the server runs, else how it ended (as ``subprocess`` puts it)."""
        return self._process.poll() if self._process else 0

    def _prepare(self, bin_dir: Path | None, user: str) -> None:
        path = self._data / "postgresql"
        self._account = find_account(path, user)
        self._bin_dir = bin_dir or find_binaries(self._account)
        version = find_version(self._bin_dir / "postgres", self._account)
        if version is None:
            raise StartError(
                f"PostgreSQL cannot be run from {self._bin_dir}. Set KITH_POSTGRES_BIN to the programs of another, or"
                " KITH_DATABASE_URL to a server of your own."
            )
        if version < POSTGRES_VERSION_MIN:
            raise StartError(f"{self._bin_dir} has PostgreSQL {version}; Kith needs {POSTGRES_VERSION_MIN} or newer.")
        if not path.exists():
            self._make_cluster(path)
        self._cluster = self._open_folder(path)
        end_leftovers(self._cluster.status)
        try:
            made_by = (path / "PG_VERSION").read_text().strip()
        except OSError:
            raise StartError(f"{path} is not a PostgreSQL cluster. Move it away, or choose another folder.") from None
        if made_by != str(version):
            raise StartError(
                f"{path} was made by PostgreSQL {made_by} and this is PostgreSQL {version}. "
                "Set KITH_POSTGRES_BIN to the programs that made it, or move the data with `kith backup` and"
                " `kith restore`."
            )
        self._socket_folder = self._open_folder(to_socket_folder(self._data))

    def _open_folder(self, path: Path) -> Folder:
        folder = Folder(path, self._account)
        self._folders.append(folder)
        return folder

    def _make_cluster(self, path: Path) -> None:
        """Under another name until it is whole: what a killed start leaves is thrown away by the next."""
        unfinished = path.with_name("postgresql.new")
        if unfinished.exists():
            end_leftovers(unfinished.stat())
            shutil.rmtree(unfinished, ignore_errors=True)
        folder = Folder(unfinished, self._account)
        try:
            make = [
                f"--username={SUPERUSER}",
                "--auth-local=trust",
                "--auth-host=reject",
                "--no-locale",
                "--encoding=UTF8",
            ]
            make += ["--data-checksums", "--no-instructions"]
            if not self._durable:
                make.append("--no-sync")
            self._run(folder, "initdb", f"--pgdata={folder.name}", *make)
            self._run(folder, "postgres", "--single", "-D", folder.name, "postgres", stdin=b"CREATE DATABASE kith\n")
            os.rename(unfinished, path)
        except OSError as error:
            raise make_unwritable(path, error) from None
        finally:
            folder.close()
            shutil.rmtree(unfinished, ignore_errors=True)

    def _run(self, folder: Folder, program: str, *arguments: str, stdin: bytes = b"") -> None:
        ran = subprocess.run(
            [self._bin_dir / program, *arguments],
            input=stdin,
            capture_output=True,
            cwd="/",
            env=ENVIRONMENT,
            pass_fds=(folder.fd,),
            check=False,
            preexec_fn=die_with_parent(signal.SIGKILL),
            **to_identity(self._account),
        )
        said = ran.stderr.decode(errors="replace")
        if ran.returncode != 0 or "ERROR:" in said:
            raise StartError(f"The PostgreSQL cluster in {self._data} cannot be made: {find_reason(said)}")

    def spawn(self) -> None:
        """Starts the server process; it may not answer yet."""
        end_leftovers(self._cluster.status)
        if sys.platform == "linux":
            # No server is left here, so these are a dead one's, and another program may have its pid by now.
            (self._cluster.path / "postmaster.pid").unlink(missing_ok=True)
            (self._socket_folder.path / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
        options = {
            **to_options(find_memory_bytes(), self._durable),
            "unix_socket_directories": self._socket_folder.name,
        }
        arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        self.rotate_log()
        try:
            log = open(self._log_path, "ab", opener=_open_private)  # noqa: SIM115 - closed below
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StartError(f"PostgreSQL's log {self._log_path} cannot be written ({reason}). Move it away.") from None
        with log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [self._bin_dir / "postgres", "-D", self._cluster.name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=ENVIRONMENT,
                pass_fds=(self._cluster.fd, self._socket_folder.fd),
                # Of its own session: an interrupt from the terminal must not stop it before those who use it.
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGQUIT),
                **to_identity(self._account),
            )

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Returns when the server takes connections. Raises StartError with its own reason when it does not."""
        deadline = time.monotonic() + timeout_s
        while not is_answering(self._socket_folder.path):
            if self.poll() is not None:
                raise StartError(f"PostgreSQL did not start: {find_reason(self._read_log())} (see {self._log_path})")
            if time.monotonic() > deadline:
                raise StartError(f"PostgreSQL was not ready within {timeout_s:.0f} s. {self._log_path} says why.")
            time.sleep(0.01)

    def make_role(self) -> None:
        """The role that Kith works as, where it is missing. In an older data folder it gets the tables."""
        if not self._ask(self.superuser_url, "find_everyday_role"):
            # Nobody but the superuser owns the database as yet.
            self._ask(to_url(self._socket_folder.path, SUPERUSER), "make_everyday_role")

    def _ask(self, url: str, name: str) -> str:
        asked = subprocess.run(
            [self._bin_dir / "psql", "-qXAt", "--set=ON_ERROR_STOP=1", f"--dbname={url}"],
            input=load_queries("roles")[name].encode() + b";\n",
            capture_output=True,
            env=ENVIRONMENT,
            check=False,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        if asked.returncode != 0:
            reason = find_reason(asked.stderr.decode(errors="replace"))
            raise StartError(f"The role that Kith works as cannot be made in {self._cluster.path}: {reason}")
        return asked.stdout.decode().strip()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ends the server in order (its clients are cut off), within about the given time; then by force."""
        if self._process is not None:
            for sign, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 1.0)):
                if self._process.poll() is not None:
                    break
                self._process.send_signal(sign)
                try:
                    self._process.wait(patience_s)
                except subprocess.TimeoutExpired:
                    continue
            end_leftovers(self._cluster.status)
        self._close()

    def _close(self) -> None:
        while self._folders:
            self._folders.pop().close()
        if self._owns_lock:
            self._owns_lock = False
            self._lock.release()

    @property
    def _log_path(self) -> Path:
        return self._data / "postgresql.log"

    def rotate_log(self) -> None:
        """Move a large log away, where it can be: the server has it open, so it is copied and then emptied."""
        path = self._log_path
        with contextlib.suppress(OSError):
            if path.stat().st_size > LOG_BYTES_MAX:
                older = path.with_suffix(".log.1")
                with open(path, "rb") as log, open(older, "wb", opener=_open_private) as copy:
                    shutil.copyfileobj(log, copy)
                os.truncate(path, 0)

    def _read_log(self) -> str:
        with open(self._log_path, "rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")


def _open_private(path: str, flags: int) -> int:
    return open_regular(path, flags | os.O_NOFOLLOW)


def find_reason(said: str) -> str:
    """The line of PostgreSQL's output that tells what went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"(FATAL|PANIC|ERROR|error):", line)]
    line = (telling or lines or ["it said nothing"])[-1]
    return re.sub(r"^.*?(FATAL|PANIC|ERROR|error):\s*", "", line)


def is_answering(folder: Path) -> bool:
    """Whether the server lets a client in: it refuses while it starts, recovers or stops."""
    body = struct.pack("!i", 196608) + b"user\0kith\0database\0postgres\0\0"
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5.0)
            client.connect(str(folder / SOCKET_NAME))
            client.sendall(struct.pack("!i", len(body) + 4) + body)
            return client.recv(1) == b"R"
    except OSError:
        return False


def end_leftovers(cluster: os.stat_result) -> None:
    """Ends PostgreSQL processes that a killed server left behind in this cluster; ours must not be running.

    Only they work in that folder, and the data folder's lock is ours, so nobody else can have started them.
    """
    deadline = time.monotonic() + LEFTOVER_TIMEOUT_S
    while pids := list(_find_leftovers(cluster)):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise StartError(f"An earlier PostgreSQL (process {pids[0]}) does not end. End it, then start again.")
        time.sleep(0.02)


def _find_leftovers(cluster: os.stat_result) -> Iterator[int]:
    if sys.platform != "linux":
        return
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            program = os.readlink(f"/proc/{entry.name}/exe")
            folder = os.stat(f"/proc/{entry.name}/cwd")
        except OSError:
            continue
        if os.path.basename(program).startswith("postgres") and os.path.samestat(folder, cluster):
            yield int(entry.name)
