"""How processes log: one JSON object for each line on standard error, or coloured text where a person looks on."""

import logging
import sys

import structlog

from kith.errors import StartError

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
    last: list[structlog.typing.Processor]
    if sys.stderr.isatty():
        # Not the one that shows local variables: they have keys and people's data.
        last = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
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
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
