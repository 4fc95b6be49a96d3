"""Configure logs: one JSON object for each line on standard error, or coloured text on a terminal."""

import logging
import re
import sys

import structlog

from kith.errors import StartError

# People's data that exceptions and other programs' messages quote: addresses, numbers, and PostgreSQL's details, which
# have whole rows.
_PEOPLE = (
    (re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@(?=[\w-]+(\.[\w-]+)+)"), "***@"),
    (re.compile(r"\+\d[\d ()./-]{6,}\d"), "(phone)"),
    (re.compile(r"DETAIL:[^\n]*"), "DETAIL: (left out)"),
)
LEVELS = ("debug", "info", "warning", "error")


def configure_logs(level: str) -> None:
    """Sets up structlog, and lets what libraries log pass through it. Raises StartError for an unknown level."""
    if level not in LEVELS:
        raise StartError(f"KITH_LOG_LEVEL is {level!r}; it must be one of {', '.join(LEVELS)}.")
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if sys.stderr.isatty():
        # Not the one that shows local variables: they have keys and people's data.
        render: structlog.typing.Processor = structlog.dev.ConsoleRenderer(
            exception_formatter=structlog.dev.plain_traceback
        )
    else:
        render = structlog.processors.JSONRenderer()
    last: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, hide_people, render]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    # The pool tells of every connection that a stopping PostgreSQL cut, with its traceback; whoever asked is told too.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
    # The server warns of each request that is no HTTP, or wants another protocol: strangers would fill the disk.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def hide_people(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What is logged without people's addresses and numbers, in tracebacks too."""
    for name, value in event.items():
        if isinstance(value, str):
            for pattern, instead in _PEOPLE:
                value = pattern.sub(instead, value)  # noqa: PLW2901 - each takes away more
            event[name] = value
    return event
