"""Every setting: its name, default and meaning, in one table; the only reader of the environment.

``KITH_<NAME>`` sets one; ``kith settings`` prints the table.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec

from kith.errors import StartError


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process was told, read once at its start. The meaning of each stands in ``SETTINGS``."""

    database_url: str = ""
    data: str = ".kith"
    postgres_bin: str = ""
    user: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    url: str = ""
    key: str = ""
    partitions: int = 16
    log_level: str = "info"
    read_timeout_ms: int = 5000
    write_timeout_ms: int = 60_000
    append_timeout_ms: int = 3000
    batch_commands_max: int = 1000
    body_bytes_max: int = 1_048_576
    body_timeout_ms: int = 30_000
    connections_max: int = 4096
    cors_origins: str = ""
    status_cache_ms: int = 1000
    pool_connections_max: int = 10
    reserved_connections: int = 12
    long_queries_max: int = 0
    slow_query_ms: int = 1000
    key_cache_ms: int = 2000
    key_outage_s: int = 600
    kafka_bootstrap: str = ""
    kafka_topic: str = "kith.commands"
    kafka_replicas: int = 0
    kafka_retention_h: int = 168
    kafka_security_protocol: str = "PLAINTEXT"
    kafka_sasl_mechanism: str = ""
    kafka_sasl_username: str = ""
    kafka_sasl_password: str = ""
    kafka_ca_file: str = ""
    kafka_certificate_file: str = ""
    kafka_key_file: str = ""
    redis_url: str = ""
    redis_prefix: str = "kith"
    redis_timeout_ms: int = 250
    log_retention_h: int = 24
    operation_retention_d: int = 7
    pending_writes_max: int = 100_000
    lag_slow: int = 20_000
    lag_max: int = 50_000
    lag_workspace: int = 100
    appends_max: int = 10_000
    poll_ms: int = 250
    list_recheck_s: int = 60
    list_budget_ms: int = 750
    secret_keys: str = ""
    hubspot_url: str = "https://api.hubapi.com"
    hubspot_per_10s: int = 80
    mailchimp_url: str = "https://api.mailchimp.com/3.0"
    mailchimp_per_s: int = 8
    mailchimp_at_once: int = 8
    sync_timeout_ms: int = 60_000
    webhook_url: str = ""
    shutdown_grace_s: int = 8


class Setting(NamedTuple):
    """A row of the table: ``minimum`` and ``maximum`` are for numbers only."""

    name: str
    help: str
    minimum: int = 0
    maximum: int = 2**31 - 1  # as PostgreSQL takes, in whose sessions some are set

    @property
    def variable(self) -> str:
        return "KITH_" + self.name.upper()

    @property
    def default(self) -> str | int:
        value: str | int = DEFAULTS[self.name]
        return value


CENTURY_D = 36_500
DEFAULTS: Mapping[str, Any] = msgspec.structs.asdict(Settings())

SETTINGS: tuple[Setting, ...] = (
    Setting("database_url", "PostgreSQL 15 or newer, as a URL. Empty: PostgreSQL is started in the data folder."),
    Setting("data", "The data folder of `kith serve`."),
    Setting(
        "postgres_bin",
        "The folder of PostgreSQL's programs (15 or newer) for the server in the data folder. Empty: those that come"
        " with Kith.",
    ),
    Setting(
        "user",
        "The user, by name or number, that API, writer and worker run as where root starts them. Empty: with `kith"
        " serve` the user of its PostgreSQL, else root.",
    ),
    Setting("host", "The address that the API listens on."),
    Setting("port", "The port that the API listens on.", 0, 65535),
    Setting(
        "url",
        "Where the command line finds a server. Empty: where the server of the data folder answers; where no folder is"
        " named and none answers, port 8000 of this machine.",
    ),
    Setting("key", "The API key that the command line sends."),
    Setting("partitions", "Partitions of the log, at most 1024; fixed when the installation is made.", 1, 1024),
    Setting("log_level", "debug, info, warning or error."),
    Setting("read_timeout_ms", "A read's longest time in the database, in milliseconds.", 1),
    Setting("write_timeout_ms", "A batch's longest statement, in milliseconds.", 1),
    Setting("append_timeout_ms", "How long a write waits for the log before it is answered 503.", 1),
    Setting("batch_commands_max", "Commands that the writer applies in one transaction, at most.", 1),
    Setting("body_bytes_max", "The largest request body, in bytes.", 1024),
    Setting("body_timeout_ms", "How long a request body may take to arrive before it is answered 408.", 1),
    Setting(
        "connections_max",
        "Open HTTP connections of an API process, at most; fewer where the system allows fewer open files.",
        1,
    ),
    Setting("cors_origins", "Origins whose pages may call the API, by commas. Empty: none."),
    Setting("status_cache_ms", "How long an answer of /metrics and /readyz is given again.", 0),
    Setting("pool_connections_max", "Connections to PostgreSQL for each process, at most.", 2),
    Setting(
        "reserved_connections",
        "Connections of PostgreSQL that an API process leaves to the writer, the worker and the command line.",
    ),
    Setting(
        "long_queries_max",
        "Queries with an estimated cost of 50 or more that an API process runs at once, at most; one workspace gets"
        " half of them. 0: as many as this machine has processors, and at least 2.",
    ),
    Setting("slow_query_ms", "How long a query may take before a line is logged of it, in milliseconds."),
    Setting("key_cache_ms", "How long a looked-up API key is trusted before it is looked up again.", 0),
    Setting("key_outage_s", "How long such a key is trusted while PostgreSQL does not answer, seconds.", 0),
    Setting("kafka_bootstrap", "Kafka brokers, as host:port,host:port. Empty: the log is a table in PostgreSQL."),
    Setting("kafka_topic", "The topic that is the log. Dead letters go to the one of this name with `.dead` behind."),
    Setting("kafka_replicas", "Replicas of a topic that is made. 0: three, or as many as there are brokers."),
    Setting("kafka_retention_h", "Hours that Kafka keeps an entry of a topic that is made.", 1, CENTURY_D * 24),
    Setting("kafka_security_protocol", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."),
    Setting("kafka_sasl_mechanism", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, where the protocol is with SASL."),
    Setting("kafka_sasl_username", "The user name for SASL."),
    Setting("kafka_sasl_password", "The password for SASL."),
    Setting("kafka_ca_file", "Who has signed the brokers' certificates, in PEM. Empty: whom the system trusts."),
    Setting("kafka_certificate_file", "The certificate that the brokers ask for, in PEM; with its key or without."),
    Setting("kafka_key_file", "The private key of the certificate, in PEM, where it is a file of its own."),
    Setting("redis_url", "Redis or Valkey, as a URL, for several API processes. Empty: one API process, in memory."),
    Setting("redis_prefix", "What the names of keys in Redis begin with; an id of the installation follows."),
    Setting("redis_timeout_ms", "How long Redis is waited for before requests go on without it.", 1),
    Setting("log_retention_h", "Hours that an applied command stays in the log in PostgreSQL.", 1, CENTURY_D * 24),
    Setting("operation_retention_d", "Days that an operation can be asked for.", 1, CENTURY_D),
    Setting("pending_writes_max", "Writes that may wait for the writer before new ones are answered 503.", 1),
    Setting(
        "lag_slow", "Commands that the writer may be behind on a partition before writes to it are slowed. 0: any."
    ),
    Setting("lag_max", "Commands that it may be behind before writes are refused with 503 LOG_BEHIND. 0: any."),
    Setting(
        "lag_workspace",
        "Commands of a workspace that may wait for the writer in any case. Beyond, as many as it applied for the"
        " workspace within the last second; then writes are held back and refused. 0: any.",
    ),
    Setting("appends_max", "Writes of a process on their way to the log before new ones are refused, too. 0: any."),
    Setting("poll_ms", "How often a process looks for news when no notification came.", 1),
    Setting(
        "list_budget_ms",
        "How long the dynamic lists of a workspace may take the writer at once, before the dearest become BROKEN.",
        1,
    ),
    Setting("list_recheck_s", "How often lists whose filters depend on the time are looked at.", 1),
    Setting(
        "secret_keys",
        "Keys for the credentials of integrations, by commas, the newest first; `kith secrets new` prints one."
        " `kith serve` makes one in the data folder.",
    ),
    Setting("hubspot_url", "Where HubSpot's API is."),
    Setting("hubspot_per_10s", "Requests to one account at HubSpot within any 10 seconds, at most.", 1),
    Setting("mailchimp_url", "Where Mailchimp's API is."),
    Setting("mailchimp_per_s", "Requests to one login at Mailchimp within any second, at most.", 1),
    Setting("mailchimp_at_once", "Requests to one login at Mailchimp that are under way at once, at most.", 1),
    Setting("sync_timeout_ms", "How long an answer of HubSpot or Mailchimp is waited for.", 1),
    Setting("webhook_url", "The public address of this API, as HubSpot and Mailchimp call it. Empty: they do not."),
    Setting("shutdown_grace_s", "Seconds that a process has to finish its work when it is told to stop.", 1),
)


# What Kubernetes makes for a Service named kith, and what the tests of Kith read themselves.
_OTHERS = re.compile(r"KITH_(SERVICE_|PORT_|TEST_)")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def find_unknown(environ: Mapping[str, str] | None = None) -> str | None:
    """A sentence about the first variable whose name begins like a setting's and is none; None where there is none."""
    environ = os.environ if environ is None else environ
    variables = [setting.variable for setting in SETTINGS]
    unknown = sorted(name for name in environ if name.startswith("KITH_") and not _OTHERS.match(name))
    for name in unknown:
        if name not in variables:
            near = get_close_matches(
                name.removeprefix("KITH_"), [one.removeprefix("KITH_") for one in variables], 1, 0.8
            )
            hint = f"Did you mean KITH_{near[0]}?" if near else "`kith settings` lists all."
            return f"No setting is called {name}. {hint}"
    return None


def load_settings(environ: Mapping[str, str] | None = None, **overrides: str | int | None) -> Settings:
    """The settings of this process: overrides, else the environment, else the defaults. Raises StartError."""
    environ = os.environ if environ is None else environ
    values: dict[str, str | int] = {}
    for setting in SETTINGS:
        given: str | int | None = overrides.get(setting.name)
        if given is None:
            given = environ.get(setting.variable)
            if setting.name == "port" and given is not None and _SERVICE_ADDRESS.match(given):
                given = None
        if given is not None:
            values[setting.name] = to_value(setting, given)
    unknown = overrides.keys() - DEFAULTS.keys()
    if unknown:
        raise StartError(f"No setting is called {min(unknown)!r}.")
    return Settings(**values)  # type: ignore[arg-type]


def to_value(setting: Setting, given: str | int) -> str | int:
    if isinstance(setting.default, str):
        return str(given)
    try:
        number = int(given)
    except ValueError:
        raise StartError(f"{setting.variable} is {given!r}; it must be a whole number.") from None
    if number < setting.minimum:
        raise StartError(f"{setting.variable} is {number}; it must be at least {setting.minimum}.")
    if number > setting.maximum:
        raise StartError(f"{setting.variable} is {number}; it must be at most {setting.maximum}.")
    return number


def to_environment(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a child process has the same settings."""
    environ = os.environ if environ is None else environ
    return {**environ, **{setting.variable: str(getattr(settings, setting.name)) for setting in SETTINGS}}
