"""HubSpot: who may come in and how often, tokens, properties, and which call goes where."""

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import uuid_utils

from kith.clock import Clock
from tools.fake_vendors import schemas
from tools.fake_vendors.faults import Kind, make_bare
from tools.fake_vendors.hubspot_links import Links
from tools.fake_vendors.hubspot_objects import Objects
from tools.fake_vendors.hubspot_portal import Key, Portal, Record
from tools.fake_vendors.hubspot_rules import (
    FIELD_TYPES,
    KNOWN,
    Property,
    make_error,
    refuse,
    refuse_body,
)
from tools.fake_vendors.wire import Answer, Asked, Refused, find_route, make_route, read_body

PREFIX = "/hubspot"
VERSIONS = ("2026-03", "2026-09")
WINDOW_S = 10
GROUPS = {"contacts": "contactinformation", "companies": "companyinformation"}


class HubSpot:
    """One account. Everything that does not begin with an underscore may be looked at and changed by a test.

    ``tokens`` are those that are taken, with the time at which they expire; ``partial_batches`` the batch calls that
    take the good inputs where others are bad (207), all others refuse the whole batch then.
    """

    def __init__(self, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self.portal_id = 12345678
        self.token = "fake-hubspot-token"  # noqa: S105 - made up
        self.tokens: dict[str, datetime | None] = {self.token: None}
        self.client_id, self.client_secret = "fake-client", "fake-client-secret"
        self.refresh_tokens = {"fake-refresh-token"}
        self.codes = {"fake-code"}
        self.token_s = 1800
        self.requests_per_10_s: int | None = 100
        self.searches_per_s: int | None = 5
        self.partial_batches = {"upsert"}
        self.portal = Portal(clock)
        self.groups = {kind: {GROUPS.get(kind, "engagement")} for kind in KNOWN}
        self._recent: deque[float] = deque()
        self._recent_searches: deque[float] = deque()
        version, kind = f"{{version:{'|'.join(VERSIONS)}}}", f"{{kind:{'|'.join(KNOWN)}}}"
        self._token_routes = [make_route("POST", f"/oauth/{version}/token", self._give_token)]
        self._routes = [
            make_route("GET", f"/account-info/{version}/details", self._tell_account),
            make_route("GET", f"/crm/properties/{version}/{kind}", self._list_properties, "archived"),
            make_route("POST", f"/crm/properties/{version}/{kind}", self._create_property),
            make_route("POST", f"/crm/properties/{version}/{kind}/groups", self._create_group),
            make_route("GET", f"/crm/properties/{version}/{kind}/{{name}}", self._read_property, "archived"),
            *Objects(self.portal, clock, lambda: self.partial_batches).list_routes(version),
            *Links(self.portal, clock).list_routes(version),
        ]

    @property
    def objects(self) -> dict[str, dict[str, Record]]:
        """Type -> id -> object; archived ones are there too, merged ones are not."""
        return self.portal.objects

    @property
    def properties(self) -> dict[str, dict[str, Property]]:
        return self.portal.properties

    @property
    def associations(self) -> dict[Key, dict[Key, set[int]]]:
        """(type, id) -> (type, id) -> ids of types, in both directions."""
        return self.portal.associations

    def find_associated(self, kind: str, identifier: str, to: str) -> list[str]:
        """The ids of those that it is associated with."""
        return sorted(target[1] for target in self.associations.get((kind, identifier), {}) if target[0] == to)

    def find_contact(self, email: str) -> Record | None:
        return self.portal.find("contacts", email, "email")

    def answer(self, asked: Asked) -> Answer:
        try:
            found = find_route(self._token_routes, asked)
            if isinstance(found, tuple):
                return found[0].handler(asked, *found[1])
            self._check_token(asked)
            limits = self._take_turn(asked)
            try:
                answer = self._route(asked)
            except Refused as refused:
                answer = refused.answer
            return msgspec.structs.replace(answer, headers={**answer.headers, **limits})
        except Refused as refused:
            return refused.answer

    def fail(self, kind: Kind) -> Answer:
        """The answer of a fault that is no timeout."""
        bare = make_bare(kind)
        if bare is not None:
            return bare
        if kind == "unauthorized":
            return Answer(status=401, body=make_error("INVALID_AUTHENTICATION", "The token is not taken."))
        if kind == "limited_daily":
            return make_limited("DAILY")
        return make_limited("SECONDLY", {"retry-after": "1"})

    def _route(self, asked: Asked) -> Answer:
        found = find_route(self._routes, asked)
        if isinstance(found, int):
            message = "There is nothing here." if found == 404 else f"{asked.method} is not possible here."
            refuse(found, "OBJECT_NOT_FOUND" if found == 404 else "METHOD_NOT_ALLOWED", message)
        route, parts = found
        unknown = sorted(asked.query.keys() - route.query)
        if unknown:
            refuse_body(f"There is no parameter {unknown[0]!r} here.")
        return route.handler(asked, *parts)

    def _check_token(self, asked: Asked) -> None:
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in self.tokens:
            refuse(401, "INVALID_AUTHENTICATION", "The token is not taken.")
        expires = self.tokens[token]
        if expires is not None and expires <= self._clock.now():
            refuse(401, "EXPIRED_AUTHENTICATION", "The token has expired.")

    def _take_turn(self, asked: Asked) -> dict[str, str]:
        """The headers that tell what is left; a search has none."""
        now = self._monotonic()
        if asked.path.endswith("/search"):
            if not _count(self._recent_searches, now, 1, self.searches_per_s):
                raise Refused(make_limited("SECONDLY"))
            return {}
        taken = _count(self._recent, now, WINDOW_S, self.requests_per_10_s)
        if self.requests_per_10_s is None:
            return {}
        headers = {
            "x-hubspot-ratelimit-max": str(self.requests_per_10_s),
            "x-hubspot-ratelimit-remaining": str(max(self.requests_per_10_s - len(self._recent), 0)),
            "x-hubspot-ratelimit-interval-milliseconds": str(WINDOW_S * 1000),
        }
        if not taken:
            raise Refused(make_limited("TEN_SECONDLY_ROLLING", headers))
        return headers

    def _tell_account(self, asked: Asked, version: str) -> Answer:
        body = {
            "portalId": self.portal_id,
            "accountType": "STANDARD",
            "timeZone": "Europe/Berlin",
            "companyCurrency": "EUR",
            "additionalCurrencies": [],
            "utcOffset": "+01:00",
            "utcOffsetMilliseconds": 3_600_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "eu1",
        }
        return Answer(status=200, body=body)

    def _give_token(self, asked: Asked, version: str) -> Answer:
        form = asked.form
        grants = {"refresh_token": self.refresh_tokens, "authorization_code": self.codes}
        grant = form.get("grant_type", "")
        given = {"refresh_token": "refresh_token", "authorization_code": "code"}.get(grant, "")
        needed = {"grant_type", "client_id", "client_secret", given, *({"redirect_uri"} if given == "code" else ())}
        if not given or not needed <= form.keys() <= needed | {"redirect_uri", "scope", "code_verifier"}:
            refuse(400, "VALIDATION_ERROR", "The form has not what this grant needs, or more than that.")
        if (form["client_id"], form["client_secret"]) != (self.client_id, self.client_secret):
            refuse(400, "VALIDATION_ERROR", "The client is not known, or its secret is another.")
        if form[given] not in grants[grant]:
            refuse(400, "VALIDATION_ERROR", f"The {given} is not taken.")
        refresh_token = form.get("refresh_token") or f"refresh-{uuid_utils.uuid4().hex}"
        self.refresh_tokens.add(refresh_token)
        self.codes.discard(form.get("code", ""))
        token = f"access-{uuid_utils.uuid4().hex}"
        self.tokens[token] = self._clock.now() + timedelta(seconds=self.token_s)
        body = {
            "token_type": "bearer",
            "access_token": token,
            "refresh_token": refresh_token,
            "expires_in": self.token_s,
            "hub_id": self.portal_id,
        }
        return Answer(status=200, body=body)

    def _list_properties(self, asked: Asked, version: str, kind: str) -> Answer:
        return Answer(status=200, body={"results": [_show_property(one) for one in self.properties[kind].values()]})

    def _read_property(self, asked: Asked, version: str, kind: str, name: str) -> Answer:
        found = self.properties[kind].get(name)
        if found is None:
            refuse(404, "OBJECT_NOT_FOUND", f"There is no property {name!r} of {kind}.")
        return Answer(status=200, body=_show_property(found))

    def _create_group(self, asked: Asked, version: str, kind: str) -> Answer:
        body = read_body(asked, schemas.NewGroup, refuse_body)
        if body.name in self.groups[kind]:
            refuse(409, "OBJECT_ALREADY_EXISTS", f"There is a group {body.name!r} of {kind} already.")
        self.groups[kind].add(body.name)
        shown = {"name": body.name, "label": body.label, "displayOrder": body.display_order or -1, "archived": False}
        return Answer(status=201, body=shown)

    def _create_property(self, asked: Asked, version: str, kind: str) -> Answer:
        body = read_body(asked, schemas.NewProperty, refuse_body)
        if body.name in self.properties[kind]:
            refuse(409, "OBJECT_ALREADY_EXISTS", f"There is a property {body.name!r} of {kind} already.")
        if body.field_type not in FIELD_TYPES[body.type]:
            refuse_body(f"A property of type {body.type} has no fieldType {body.field_type!r}.")
        if kind in GROUPS and body.group_name not in self.groups[kind]:
            refuse_body(f"There is no group {body.group_name!r} of {kind}.")
        if bool(body.options) != (body.type == "enumeration") and not (body.options and body.type == "bool"):
            refuse_body("An enumeration needs options, and only what is true or false may have some too.")
        if body.has_unique_value and body.type not in ("string", "number"):
            refuse_body("Only text and numbers can be unique.")
        made = Property(
            name=body.name,
            type=body.type,
            label=body.label,
            group_name=body.group_name,
            field_type=body.field_type,
            description=body.description or "",
            options=[option.value for option in body.options or ()],
            has_unique_value=body.has_unique_value,
            hubspot_defined=False,
        )
        self.properties[kind][made.name] = made
        return Answer(status=201, body=_show_property(made))


def make_limited(policy: str, headers: dict[str, str] | None = None) -> Answer:
    body = {
        "status": "error",
        "message": f"The limit {policy} is reached.",
        "errorType": "RATE_LIMIT",
        "correlationId": str(uuid_utils.uuid4()),
        "policyName": policy,
        "requestId": uuid_utils.uuid4().hex,
    }
    return Answer(status=429, body=body, headers=headers or {})


def _count(recent: deque[float], now: float, seconds: float, most: int | None) -> bool:
    """Whether one more fits into the time that ends now; then it is counted."""
    while recent and now - recent[0] >= seconds:
        recent.popleft()
    if most is not None and len(recent) >= most:
        return False
    recent.append(now)
    return True


def _show_property(one: Property) -> dict[str, Any]:
    return {
        "name": one.name,
        "label": one.label or one.name,
        "type": one.type,
        "fieldType": one.field_type,
        "groupName": one.group_name,
        "description": one.description,
        "options": [
            {"label": value, "value": value, "displayOrder": order, "hidden": False}
            for order, value in enumerate(one.options)
        ],
        "hasUniqueValue": one.has_unique_value,
        "hubspotDefined": one.hubspot_defined,
        "archived": False,
    }
