"""Named SQL: each ``*.sql`` beside the code holds statements under ``-- name:`` lines."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def load_queries(file: str) -> Mapping[str, str]:
    """The statements of a file of this package by name, e.g. ``load_queries("log")["append"]``."""
    text = resources.files("kith.store").joinpath(f"{file}.sql").read_text("utf-8")
    parts = _NAME.split(text)[1:]
    return {name: sql.strip().rstrip(";") for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def list_query_files() -> list[str]:
    return sorted(
        path.name.removesuffix(".sql") for path in resources.files("kith.store").iterdir() if path.name.endswith(".sql")
    )
