"""The data folder: its lock, the private folders in it, and where the server that runs in it is reached."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import socket
import stat
from pathlib import Path
from urllib.parse import quote

from kith.errors import StartError
from kith.installation.binaries import Account, to_user_name
from kith.settings import Settings

ADDRESS_FILE = "address"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES_MAX = 107
# The role that Kith works as, and the one that made the cluster, which is its superuser.
EVERYDAY, SUPERUSER = "kith_app", "kith"


class DataLock:
    """Holds the data folder for this process; the system releases it, however the process ends."""

    def __init__(self, data: Path) -> None:
        path = data / "lock"
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise make_unwritable(data, error) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 32).decode(errors="replace").strip()
            os.close(self._fd)
            raise StartError(
                f"The data folder {data} is in use by process {holder or '(unknown)'}. "
                "Stop that one, or choose another folder with --data."
            ) from None
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        os.close(self._fd)


def open_data(data: Path) -> Path:
    """Makes the data folder where it is missing (mode 0700) and answers its absolute path. Raises StartError."""
    data = data.expanduser().absolute()
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(data, os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise make_unwritable(data, error) from None
    return data.resolve()


def make_unwritable(data: Path, error: OSError) -> StartError:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return StartError(f"{data} is a file, or lies below one. Choose a folder with --data.")
    user = to_user_name(os.geteuid())
    reason = (error.strerror or str(error)).lower()
    return StartError(
        f"The data folder {data} cannot be written by user {user!r} ({reason}). "
        "Correct its owner, or choose another folder with --data."
    )


class Folder:
    """A folder of ours, mode 0700, held open.

    Root opens it, and a child of another user reaches it through the descriptor: so nothing has to be changed about
    the folders above, which may be private to root.
    """

    fd = -1

    def __init__(self, path: Path, account: Account | None) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            # Below the system's temporary folder anybody may have made it, as a link to anything.
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            self.status = os.fstat(self.fd)
            uid = account.uid if account else os.geteuid()
            if self.status.st_uid not in (uid, os.geteuid()):
                raise PermissionError(13, f"it belongs to user {to_user_name(self.status.st_uid)!r}")
            if account and self.status.st_uid != uid:
                os.fchown(self.fd, account.uid, account.gid)
            if stat.S_IMODE(self.status.st_mode) != 0o700:
                os.fchmod(self.fd, 0o700)
        except OSError as error:
            self.close()
            raise make_unwritable(path, error) from None
        self.name = f"/proc/self/fd/{self.fd}" if account else str(path)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def to_socket_folder(data: Path) -> Path:
    """Where the server of a data folder has its socket: in it, or below /tmp where a socket's path would not fit."""
    folder = data / "run"
    plain = re.fullmatch(r"[A-Za-z0-9 ._/@+~-]+", str(folder)) is not None
    if plain and len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX:
        return folder
    return Path("/tmp", "kith-" + hashlib.sha256(os.fsencode(data)).hexdigest()[:24])  # noqa: S108 - checked in Folder


def to_url(folder: Path, role: str = EVERYDAY, database: str = "kith") -> str:
    return f"postgresql://{role}@/{database}?host={quote(str(folder), safe='/')}&port=5432"


def to_superuser_url(folder: Path) -> str:
    """To the database `postgres`, which only the superuser can change.

    The owner of the database `kith` decides what its sessions execute: a superuser must not open one.
    """
    return to_url(folder, SUPERUSER, "postgres")


def find_embedded_url(data: Path) -> str | None:
    """The address of the server that runs in a data folder, None when none does."""
    folder = to_socket_folder(data.expanduser().resolve())
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder / SOCKET_NAME))
    except PermissionError:
        raise StartError(f"The server of the data folder {data} runs as another user; work as that user.") from None
    except OSError:
        return None
    return to_url(folder)


def read_secret(path: Path, what: str) -> str | None:
    """The one line of a file that holds a secret; None where it is missing. Raises StartError."""
    try:
        text = read_regular(path).decode("ascii").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise make_broken(path, what, (error.strerror or str(error)).lower()) from None
    except UnicodeDecodeError:
        raise make_broken(path, what, "it is not text") from None
    if not text:
        raise make_broken(path, what, "it is empty")
    return text


def make_broken(path: Path, what: str, reason: str) -> StartError:
    return StartError(f"{path} cannot be used as {what}: {reason}. Put it back from a backup, or move it away.")


def open_regular(path: str | Path, flags: int) -> int:
    """For ``opener``: open a file that is one. A pipe would keep the program waiting. Raises OSError."""
    fd = os.open(path, flags | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a file")
    return fd


def read_regular(path: Path) -> bytes:
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def write_address(data: Path, address: str | None) -> None:
    """Note where the server of this data folder answers; None where it does not any more. Raises StartError."""
    path = data / ADDRESS_FILE
    if address is None:
        with contextlib.suppress(OSError):
            path.unlink()
        return
    unfinished = path.with_suffix(".new")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.write_text(address + "\n", "utf-8")
        unfinished.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StartError(f"{path} cannot be written ({reason}). Move it and {unfinished.name} away.") from None


def find_address(data: Path) -> str | None:
    """Where the server that runs in a data folder answers; None where none was started there."""
    try:
        return read_regular(data.expanduser() / ADDRESS_FILE).decode().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def get_database_url(settings: Settings) -> str:
    """The database that is set, else that of the server which runs in the data folder. Raises StartError."""
    url = settings.database_url or find_embedded_url(Path(settings.data))
    if url is None:
        raise StartError(
            f"No server runs in the data folder {Path(settings.data).absolute()}. "
            "Start one with `kith serve`, name its folder with --data, or set KITH_DATABASE_URL."
        )
    return url
