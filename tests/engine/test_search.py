"""Search against PostgreSQL: it reads words and queries as they were meant, whatever is in them."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from kith.engine.read.listings import ContactListing, list_contacts, search_contacts
from kith.errors import InvalidRequest
from tests.engine.acts import Acts, to_id

Drain = Callable[[], Awaitable[None]]

NAMES = (
    "O'Neil",
    "back\\slash",
    "'quoted'",
    "''",
    "a:b*c&d|e!f(g)",
    "Jean-Luc d'Arc",
    "José 王小明",
    "ΟΔΟΣ Straße",
    "हिन्दी",
    "née\u200dJoiner",
    "🙂 smile",
    "hiss_snake",
    "x" * 900,
    "1234",
    "%like_",
    "İstanbul",
)


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_found_as_it_is_written(acts: Acts, drain: Drain, name: str) -> None:
    written = await acts.create(name=name, email="somebody@example.com")
    await acts.create(name="Somebody else")
    await drain()
    listing = await list_contacts(acts.engine, acts.workspace, ContactListing(search=name[:500]))
    typed = await search_contacts(acts.engine, acts.workspace, name[:500], 10)
    if any(character.isalnum() for character in name):
        for page in (listing, typed):
            assert [row["externalId"] for row in msgspec.json.decode(page.data)] == [to_id(written)]
    else:
        assert (listing.data, typed.data) == (b"[]", b"[]")


@pytest.mark.parametrize(
    "query", ["'", "\\", "':*", "a' | 'b", "&", "!ada", "ada:*", "((", "<->", "42:ada", "%", "_", "\u0301"]
)
async def test_no_query_is_an_error_or_finds_what_it_should_not(acts: Acts, drain: Drain, query: str) -> None:
    await acts.create(name="Unlike")
    await drain()
    page = await search_contacts(acts.engine, acts.workspace, query, 10)
    assert page.data == b"[]"
    listing = await list_contacts(acts.engine, acts.workspace, ContactListing(search=query))
    assert listing.data == b"[]"


async def test_nothing_but_space_is_as_nothing_at_all(acts: Acts, drain: Drain) -> None:
    await acts.create(name="Ada")
    await drain()
    for query in ("", "  "):
        assert (
            len(
                msgspec.json.decode(
                    (await list_contacts(acts.engine, acts.workspace, ContactListing(search=query))).data
                )
            )
            == 1
        )
        with pytest.raises(InvalidRequest, match="q is empty"):
            await search_contacts(acts.engine, acts.workspace, query, 10)


async def test_search_follows_every_change_of_a_record(acts: Acts, drain: Drain) -> None:
    async def find(query: str) -> int:
        page = await search_contacts(acts.engine, acts.workspace, query, 10)
        return len(msgspec.json.decode(page.data))

    ref = to_id(await acts.create(name="Ada", email="ada@example.com", phone="+49 30 123456"))
    await drain()
    assert [await find(query) for query in ("ada", "ada@ex", "30123", "eve")] == [1, 1, 1, 0]
    await acts.update(ref, name="Eve", email=None, phone=None)
    await drain()
    assert [await find(query) for query in ("ada", "ada@ex", "30123", "eve")] == [0, 0, 0, 1]
    await acts.delete(ref)
    await drain()
    assert await find("eve") == 0
    await acts.restore(ref)
    await drain()
    assert await find("eve") == 1
