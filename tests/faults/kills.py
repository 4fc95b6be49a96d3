"""Killing a served Kith, or parts of it, without a word of warning."""

import random
from pathlib import Path

import psutil

from tests.serving import Served

PARTS = ("api", "writer", "postgres", "worker")


def list_family(served: Served) -> list[psutil.Process]:
    """The supervisor and all below it."""
    process = psutil.Process(served.process.pid)
    return [process, *process.children(recursive=True)]


def find_part(served: Served, name: str) -> psutil.Process | None:
    """None while it is between two lives."""
    for process in psutil.Process(served.process.pid).children():
        try:
            command = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        if command and (command[-1] == name or Path(command[0]).name == name):
            return process
    return None


def kill_part(served: Served, name: str) -> bool:
    """Whether it was there to be killed."""
    part = find_part(served, name)
    if part is not None:
        part.kill()
    return part is not None


def kill_everything(served: Served, chance: random.Random) -> None:
    """In any order, and reap what is ours."""
    family = list_family(served)
    chance.shuffle(family)
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    served.process.wait()
    assert list_living(family) == []


def list_living(processes: list[psutil.Process], timeout_s: float = 10) -> list[psutil.Process]:
    """Those that have not ended within the time."""
    _, living = psutil.wait_procs(processes, timeout=timeout_s)
    return [process for process in living if process.status() != psutil.STATUS_ZOMBIE]
