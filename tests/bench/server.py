"""The API process of the bench: Kith's own, with what it is compared with beside it in the same process.

``POST /crm/bench/validated`` is a route like the others: the key, the limit, the body and every rule for it, and an
answer; but nothing is foreseen and nothing appended. ``/bare/…`` are Kith's own statements, sent through bare asyncpg
from a bare ASGI callable: no key, no route table, no conditions to compile, no cursor to sign. ``/crm/bench/by-hand/…``
are the same statements behind Kith's own door: with key, limit, headers and counts.
"""

import asyncio
from datetime import UTC, datetime
from typing import cast

import asyncpg

from kith.api import response_schemas as shapes
from kith.api.app import App, Application, Scope, Send
from kith.api.calls import ReadCall, WriteCall
from kith.api.requests import Receive
from kith.api.responses import JSON, Answer, make_write_answer
from kith.api.routing import route
from kith.cli.app import run_part
from kith.cql.ast import After, Condition, Query, Sort
from kith.cql.compile import Statement, compile_beginnings, compile_get, compile_page, compile_words, make_source
from kith.cql.entity_schema import CONTACT
from kith.engine.accept.operations import Operation
from kith.engine.accept.submit import Written
from kith.engine.context.engine import Engine
from kith.engine.read.cql import QueryRequest, resolve_asked
from kith.engine.read.filter_references import find_named
from kith.engine.read.listings import ContactListing, make_condition
from kith.ids import new_id
from kith.model.contacts import ContactInput, make_contact_changes
from kith.model.workspaces import Workspace
from kith.processes import api
from kith.settings import load_settings
from kith.store.database import Connection
from kith.store.queries import load_queries
from kith.store.workspaces import list_workspaces
from tests.bench.queries import SHAPES

VALIDATED = "/crm/bench/validated"
BARE = "/bare/"
BY_HAND = "/crm/bench/by-hand/"
LIMIT = 20
NOW = datetime.now(UTC)
SAMPLE = (
    '{"id":null,"externalId":"%s","email":"alice@example.com","name":"Alice Johnson","givenName":"Alice",'
    '"familyName":"Johnson","phone":"+12025550100","avatar":null,"status":"ACTIVE","lifecycleStage":"LEAD",'
    '"isIdentified":true,"modules":["CRM"],"properties":{"mrr":4999,"plan":"Enterprise"},"activityCount":0,'
    '"lastActivityAt":null,"createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z","version":1,'
    '"companies":[],"tags":[],"pending":true}'
)
CONTACT_ID = new_id("ctc", NOW)
SAMPLE_WRITTEN = Written(
    data=(SAMPLE % CONTACT_ID).encode(),
    operation=Operation(
        id=new_id("op", NOW),
        type="CreateContact",
        status="PENDING",
        shard=1,
        number=1_000_000,
        resource=f"/crm/contacts/{CONTACT_ID}",
        created_at=NOW,
    ),
    location=f"/crm/contacts/{CONTACT_ID}",
    created=True,
)


@route("POST", VALIDATED, tag="Bench", kind="write", data=shapes.Contact, creates=True)
async def validate(call: WriteCall, body: ContactInput) -> Answer:
    """Validate a contact and answer"""
    make_contact_changes(body)
    return make_write_answer(SAMPLE_WRITTEN, call.request)


class BareReads:
    """The statements of Kith's reads, each made once, and connections for them."""

    def __init__(self, engine: Engine, pool: "asyncpg.Pool[asyncpg.Record]", workspace: Workspace) -> None:
        self._engine = engine
        self._pool = pool
        self._workspace = workspace
        self._get = compile_get(CONTACT, "id")
        self._total = load_queries("totals")["sum"]
        self._kept: dict[str, Statement] = {}
        self._words: dict[str, Statement] = {}
        self._named: dict[str, Condition] = {}

    async def read(self, name: str) -> bytes:
        """``page``, ``deep/…`` a page behind a place, ``query/…``, ``search/…``, or the contact of this number."""
        workspace = self._workspace
        async with self._pool.acquire() as connection:
            if name.isdecimal():
                row = await connection.fetchrow(self._get, workspace.shard, workspace.id, int(name))
                assert row is not None
                return b'{"data":%b}' % row["document"].encode()
            statement = self._kept.get(name)
            if statement is None:
                statement = self._kept[name] = await self._compile(*name.split("/"))
            if name in self._named:
                await find_named(cast(Connection, connection), workspace.shard, workspace.id, self._named[name])
            row = await connection.fetchrow(statement.sql, *statement.values)
            assert row is not None
            if name in self._words and row["found"] < LIMIT:
                words = self._words[name]
                more = await connection.fetchrow(words.sql, *words.values)
                assert more is not None
                return b'{"data":[%b,%b]}' % (row["page"][1:-1].encode(), more["page"][1:-1].encode())
            if name.startswith(("query", "search")):
                return b'{"data":%b}' % row["page"].encode()
            total = await connection.fetchval(
                self._total, workspace.shard, workspace.id, "contact", ["ACTIVE", "ARCHIVED"], None
            )
            return b'{"data":%b,"meta":{"page":1,"limit":20,"total":%d}}' % (row["page"].encode(), total)

    async def _compile(self, kind: str, *which: str) -> Statement:
        workspace = self._workspace
        if kind == "search":
            beginnings, words = (
                compile_tier(CONTACT, which[0], LIMIT, workspace.shard, workspace.id)
                for compile_tier in (compile_beginnings, compile_words)
            )
            assert beginnings is not None and words is not None
            self._words[f"{kind}/{which[0]}"] = words
            return beginnings
        if kind == "query":
            asked = QueryRequest(entities=("contact",), **SHAPES[int(which[0])])
            resolved = await resolve_asked(self._engine, workspace, asked)
            if resolved.context.tags or resolved.context.lists:
                self._named[f"{kind}/{which[0]}"] = resolved.query.where
            return compile_page(resolved.sources, resolved.query, workspace.shard, workspace.id, resolved.context)
        where = make_condition(ContactListing(), workspace)
        after = After((which[0],), int(which[1]), "") if which else None
        query = Query(("contact",), where, (Sort("createdAt", True),), limit=LIMIT, after=after)
        return compile_page([make_source(CONTACT)], query, workspace.shard, workspace.id)


class Bare:
    """Opened by the first request, so that a run without these reads has no connections for them."""

    reads: asyncio.Task[BareReads] | None = None


async def read_bare(engine: Engine, name: str) -> bytes:
    if Bare.reads is None:
        Bare.reads = asyncio.create_task(open_bare(engine))
    return await (await Bare.reads).read(name)


@route("GET", BY_HAND + "{name}", tag="Bench", kind="record", data=shapes.Contact)
async def read_by_hand(call: ReadCall, name: str) -> Answer:
    """Read by hand"""
    return Answer(200, await read_bare(call.engine, name), [JSON])


def build_bench_app(engine: Engine) -> App:
    """Kith's application, with the bare one in front of ``/bare/``."""
    kith = Application(engine)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if not path.startswith(BARE):
            await kith(scope, receive, send)
            return
        body = await read_bare(engine, path.removeprefix(BARE))
        headers = [JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def open_bare(engine: Engine) -> BareReads:
    """A pool as large as Kith's, whose connections are as little held up: no reset between requests, no seqscans."""

    async def keep(_: Connection) -> None:
        pass

    pool = await asyncpg.create_pool(
        engine.settings.database_url,
        min_size=1,
        max_size=engine.settings.pool_connections_max,
        reset=keep,
        server_settings={"timezone": "UTC", "jit": "off", "enable_seqscan": "off"},
    )
    async with pool.acquire() as connection:
        (workspace,) = await list_workspaces(cast(Connection, connection))
    return BareReads(engine, pool, workspace)


if __name__ == "__main__":
    api.Application = build_bench_app  # type: ignore[assignment,attr-defined]
    run_part("api", load_settings())
