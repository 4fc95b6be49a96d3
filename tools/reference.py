"""Writes the reference pages that the program itself is the source of: settings, errors, command line, HTTP interface.

``make docs`` runs it; ``tests/test_docs.py`` fails while a page is not what it would write.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from kith.errors import CODES
from kith.settings import SETTINGS

DOCS = Path(__file__).parent.parent / "docs"
NOTICE = "<!-- Written by `make docs` from the program itself. -->"


SETTINGS_PAGE = """
Each is an environment variable, read once when a process starts; `kith settings` lists them with the values in force. A
value that cannot be used ends the start with one line that names the variable.
"""

ERRORS_PAGE = """
Every error answers with the same shape. `code` is stable and made for programs, `message` is for people: it names the
thing, the value and the way out. `details` is null or an object; where fields are wrong, `details.fields` lists them
all as `{field, message}`.

```json
{"success": false, "error": {"code": "NOT_FOUND", "message": "…", "details": null}}
```

%s

A 500 says nothing but the correlation id (`X-Correlation-Id`), which the structured log has too. An operation that ends
REJECTED carries the `{code, message, details}` that the write would have been refused with. `PENDING` is no error: it
stands beside the `data` of a record whose create is accepted and not yet applied, with status 202.
"""


def make_settings_page() -> str:
    rows = [
        (f"`{setting.variable}`", f"`{setting.default}`" if setting.default != "" else "(empty)", setting.help)
        for setting in SETTINGS
    ]
    return make_page("Settings", SETTINGS_PAGE, make_table(("Variable", "Default", "Meaning"), rows))


def make_errors_page() -> str:
    rows = [(f"`{code}`", str(status), meaning) for code, (status, meaning) in CODES.items()]
    return make_page("Errors", ERRORS_PAGE % make_table(("Code", "Status", "Meaning"), rows))


def make_page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", NOTICE, *(part.strip() for part in parts))) + "\n"


def make_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": make_settings_page,
    "errors.md": make_errors_page,
}


def main() -> None:
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())


if __name__ == "__main__":
    main()
