"""The client of all accounts: a token goes to the operator's address and nowhere else."""

import httpx2
import pytest

from kith.integrations.http import open_client


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.host)
        return httpx2.Response(status, headers={"Location": "http://169.254.169.254/latest"})

    async with open_client(1, httpx2.MockTransport(answer)) as client:
        got = await client.get("https://provider.example/", headers={"Authorization": "Bearer x"})
    assert (got.status_code, asked) == (status, ["provider.example"])


async def test_proxies_and_passwords_of_the_environment_are_not_used() -> None:
    async with open_client(1) as client:
        assert client.trust_env is False
