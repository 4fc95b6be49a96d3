"""Check the settings before anything starts."""

from urllib.parse import urlsplit

from kith.api.cors import read_origins
from kith.errors import StartError
from kith.integrations.credential_store import Vault
from kith.settings import Settings


def check_settings(settings: Settings) -> None:
    """Raise StartError for a value that a part would end on, or that would fail later."""
    read_origins(settings.cors_origins)
    Vault.from_settings(settings)
    for name in ("hubspot_url", "mailchimp_url", "webhook_url"):
        url = getattr(settings, name)
        if (url or name != "webhook_url") and not is_http(url):
            raise StartError(f"KITH_{name.upper()} is {url!r}; it must be a URL such as https://crm.example.com.")
    if settings.redis_url:
        from kith.pending.redis_client import check_url  # noqa: PLC0415 - the client of Redis, which few have

        check_url(settings.redis_url)
    if settings.kafka_bootstrap:
        from kith.log.kafka_topic import make_options  # noqa: PLC0415 - likewise that of Kafka

        make_options(settings)


def is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
