"""User of the API, the writer and the worker: never root, unless KITH_USER says so.

``kith serve`` that root started runs them as the user of its PostgreSQL. ``kith api``, ``kith writer`` and
``kith worker`` that root started become the user whom KITH_USER names.
"""
# ruff: noqa: S603, S606 - the only program started here is this one

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import structlog

from kith.errors import StartError
from kith.installation.binaries import ROOT, Account, find_user, to_identity
from kith.settings import Settings, to_environment

# What a part needs before it can say anything: its own package, and one with compiled code.
TRIAL = "import kith.errors, asyncpg"

logger = structlog.get_logger(__name__)


class Program(NamedTuple):
    """How this program is started anew, by a user who may be able to reach less than this one."""

    arguments: list[str]
    environment: dict[str, str]
    fds: tuple[int, ...]


def find_program(account: Account | None, settings: Settings) -> Program:
    """As the account can run it. Raises StartError where it cannot."""
    # -P: a module in the current folder must not take the place of one of ours.
    plain = Program([sys.executable, "-P"], {}, ())
    if account is None:
        return plain
    # Where others keep their files is nothing that this user could read.
    plain.environment["HOME"] = "/"
    if can_run(plain, account, settings):
        return plain
    held = hold_program()
    if can_run(held, account, settings):
        return held
    raise StartError(
        f"The user {account.name!r} cannot run {sys.executable}, and as root the API, the writer and the worker would"
        " have more rights than they need. Install Kith where that user can read it, start it as an ordinary user, or"
        f" set KITH_USER={ROOT} to run all as root."
    )


def hold_program() -> Program:
    """Python and its modules held open, and named by their descriptors: for a user who cannot reach the folders above,
    such as a private home. Nothing is changed about the folders.
    """
    fds: list[int] = []

    def hold(path: str) -> str:
        fds.append(os.open(path, os.O_PATH))
        return f"/proc/self/fd/{fds[-1]}"

    # Without the first, which is the current folder or the script's, unless -P left it out.
    folders = sys.path if sys.flags.safe_path else sys.path[1:]
    home = hold(sys.base_prefix)
    environment = {
        "HOME": "/",
        "PYTHONHOME": home,
        "PYTHONPATH": ":".join(hold(folder) for folder in folders if Path(folder).is_dir()),
        "LD_LIBRARY_PATH": f"{home}/lib",
    }
    # -S: what the environment of this Python adds is on the path already.
    return Program([hold(os.path.realpath(sys.executable)), "-P", "-S"], environment, tuple(fds))


def can_run(program: Program, account: Account, settings: Settings) -> bool:
    try:
        tried = subprocess.run(
            [*program.arguments, "-c", TRIAL],
            env={**to_environment(settings), **program.environment},
            pass_fds=program.fds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            **to_identity(account),
        )
    except OSError:
        return False
    return tried.returncode == 0


def leave_root(settings: Settings) -> None:
    """Starts the same command anew as KITH_USER, where root runs it. Raises StartError where that cannot be."""
    if os.geteuid() != 0 and not settings.user:
        return
    account = find_user(settings.user) if settings.user else None
    if account is None:
        if not settings.user:
            logger.warning(
                "this process runs as root and needs no right of root: set KITH_USER to the name of a user,"
                " or start it as one (systemd: User=)"
            )
        return
    program = find_program(account, settings)
    for fd in program.fds:
        os.set_inheritable(fd, True)
    try:
        os.setgroups([])
        os.setgid(account.gid)
        os.setuid(account.uid)
    except OSError as error:
        raise StartError(
            f"KITH_USER is {settings.user!r}, and this process cannot become that user ({error.strerror})."
        ) from None
    environment = {**to_environment(settings), **program.environment}
    os.execve(program.arguments[0], [*program.arguments, "-m", "kith", *sys.argv[1:]], environment)
