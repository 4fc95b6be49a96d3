"""Access tokens: a private app's stands still, an OAuth app's is got anew before it runs out, once for all who wait."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any

import httpx2
import msgspec

from kith.clock import Clock
from kith.integrations.failures import Transient, Unauthorized
from kith.model.aliases import find_meant

# So long before its end a token is taken for one that has run out.
EARLY_S = 300
# One that is refused so soon after it was got would be refused again.
YOUNG_S = 60
# What can stand in a header.
Token = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,4096}$")]
CredentialsDocument = Mapping[str, Any]
Store = Callable[[CredentialsDocument], Awaitable[None]]
Lock = Callable[[], AbstractAsyncContextManager[CredentialsDocument | None]]


class PrivateApp(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """``webhook_secret`` is the app's client secret, by which its webhooks are signed."""

    access_token: Token
    webhook_secret: str | None = None

    def __repr__(self) -> str:
        return "PrivateApp(…)"


class OAuthApp(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """``access_token`` and ``expires_at`` are there once a token was got."""

    client_id: Token
    client_secret: Token
    refresh_token: Token
    access_token: Token | None = None
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return f"OAuthApp(client_id={self.client_id!r}, …)"


Credentials = PrivateApp | OAuthApp


def find_form(document: CredentialsDocument) -> type[PrivateApp] | type[OAuthApp]:
    """Which of the two apps the credentials are of, also where some of them are missing or misspelled."""
    meant = {find_meant(name, ("accessToken", "clientId", "clientSecret", "refreshToken")) for name in document}
    return OAuthApp if {"clientId", "refreshToken"} & meant else PrivateApp


def read_credentials(document: CredentialsDocument) -> Credentials:
    """Raises msgspec.ValidationError, which says what is wrong and none of the values."""
    return msgspec.convert(document, find_form(document))


class _Answer(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float
    refresh_token: str | None = None


async def keep_nothing(credentials: CredentialsDocument) -> None:
    """Where nobody keeps them, they are got again after a restart."""


@asynccontextmanager
async def lock_nothing() -> AsyncIterator[None]:
    yield


class Tokens:
    """The token of one account."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        clock: Clock,
        credentials: CredentialsDocument,
        url: str,
        *,
        store: Store = keep_nothing,
        lock: Lock = lock_nothing,
    ) -> None:
        """``url`` is where tokens are got. ``store`` keeps new credentials.

        ``lock`` is held while they are got, so that of several processes one does it; it gives the credentials as they
        are stored by then, or None, if it does not know better.
        """
        self._client = client
        self._clock = clock
        self._held = read_credentials(credentials)
        self._url = url
        self._store = store
        self._lock = lock
        self._one = asyncio.Lock()
        self._refused: str | None = None
        self._got_at: datetime | None = None

    async def get_headers(self) -> dict[str, str]:
        """Raises Unauthorized where no token is given (any more), Transient where none can be got just now."""
        if not self._is_good(self._held):
            async with self._one:
                if not self._is_good(self._held):
                    await self._renew()
        return {"Authorization": f"Bearer {self._held.access_token}"}

    @property
    def held(self) -> str | None:
        """The token that the next request takes, unless it has to be got anew for it."""
        return self._held.access_token

    def refuse(self, token: str | None) -> bool:
        """A request with it was answered 401: whether it is worth another, with the token that there will be then."""
        if isinstance(self._held, PrivateApp):
            return False
        if token != self._held.access_token:
            return True
        if self._got_at and (self._clock.now() - self._got_at).total_seconds() < YOUNG_S:
            return False
        self._refused = token
        return True

    def _is_good(self, credentials: Credentials) -> bool:
        if isinstance(credentials, PrivateApp):
            return True
        token, end = credentials.access_token, credentials.expires_at
        if token is None or end is None or token == self._refused:
            return False
        return self._clock.now() < end - timedelta(seconds=EARLY_S)

    async def _renew(self) -> None:
        async with self._lock() as stored:
            held = read_credentials(stored) if stored is not None else self._held
            if isinstance(held, OAuthApp) and not self._is_good(held):
                held = await self._exchange(held)
                await self._store(msgspec.to_builtins(held))
            self._held = held
            self._got_at = self._clock.now()

    async def _exchange(self, held: OAuthApp) -> OAuthApp:
        form = {
            "grant_type": "refresh_token",
            "client_id": held.client_id,
            "client_secret": held.client_secret,
            "refresh_token": held.refresh_token,
        }
        try:
            answer = await self._client.post(self._url, data=form, headers={"Accept": "application/json"})
        except httpx2.RequestError as error:  # also an answer that is packed wrongly
            raise Transient(f"{self._url} gave no answer ({type(error).__name__}).") from error
        status = answer.status_code
        if status in (400, 401, 403, 404):
            raise Unauthorized(
                f"HubSpot gives no token for these credentials ({status}): connect it anew.", status=status
            )
        try:
            got = msgspec.json.decode(answer.content, type=_Answer) if answer.is_success else None
        except msgspec.DecodeError:
            got = None
        if got is None:
            raise Transient(f"HubSpot answered {status} where a token is got.", status=status)
        return msgspec.structs.replace(
            held,
            access_token=got.access_token,
            refresh_token=got.refresh_token or held.refresh_token,
            expires_at=self._clock.now() + timedelta(seconds=got.expires_in),
        )
