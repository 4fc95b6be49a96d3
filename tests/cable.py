"""A network of its own for a process, whose cable can be pulled: what is sent then is neither answered nor refused."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Cable:
    """From this machine's network, where it ends at ``host``, to the one of the namespace."""

    namespace: str
    host: str

    def run_inside(self, command: Sequence[str]) -> list[str]:
        """The command with which it runs in the namespace."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def pull(self) -> None:
        # At its other end: this one keeps its address.
        run("-n", self.namespace, "link", "set", "far", "down")

    def plug(self) -> None:
        run("-n", self.namespace, "link", "set", "far", "up")


@contextmanager
def laid_cable() -> Iterator[Cable | None]:
    """A cable, gone at the end; None for who may not lay one."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        yield None
        return
    name = f"kith{secrets.token_hex(4)}"
    subnet = f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode != 0:
        yield None
        return
    try:
        run("link", "add", name, "type", "veth", "peer", "name", "far", "netns", name)
        run("address", "add", f"{subnet}.1/30", "dev", name)
        run("link", "set", name, "up")
        run("-n", name, "address", "add", f"{subnet}.2/30", "dev", "far")
        cable = Cable(name, f"{subnet}.1")
        cable.plug()
        yield cable
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)
        subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)


def run(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
