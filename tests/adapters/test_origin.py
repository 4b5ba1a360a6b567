"""A browser that was led here by another name, or by another site's page, gets nothing and changes nothing."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hotbandd.adapters.http.origin import OwnOrigin


async def asked(bound: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask a server that is bound to a host."""

    async def fine(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("fine")

    app = OwnOrigin(Starlette(routes=[Route("/", fine, methods=["GET", "POST"])]), bound)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8100") as client:
        return await client.request(
            method, "/", headers={name.replace("_", "-"): text for name, text in headers.items()}
        )


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8100", "127.0.0.1:9", "[::1]:8100", "[::1]", "127.0.0.1"])
async def test_the_names_of_this_machine_lead_to_a_loopback_server(host: str) -> None:
    for bound in ("127.0.0.1", "localhost", "::1"):
        assert (await asked(bound, Host=host)).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8100",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "localhost@evil",
        "127.0.0.1:80:80",
        "[::1",
    ],
)
async def test_another_name_does_not_and_the_answer_says_so(host: str) -> None:
    response = await asked("127.0.0.1", Host=host)
    assert response.status_code == 421
    assert "is not this server's name; ask for localhost." in response.json()["error"]
    assert (await asked("0.0.0.0", Host=host)).status_code == 200


async def test_a_loopback_address_of_its_own_is_a_name_as_well() -> None:
    assert (await asked("127.0.0.2", Host="127.0.0.2:8100")).status_code == 200
    assert (await asked("127.0.0.1", Host="127.0.0.2:8100")).status_code == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "https://proxy.example"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Origin": "http://localhost:8100"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Origin": "http://localhost:8100"}, 403),
        ({"Origin": "http://localhost:8101"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
    ],
)
async def test_a_change_comes_from_the_own_page_or_from_none(headers: dict[str, str], status: int) -> None:
    for bound in ("127.0.0.1", "0.0.0.0"):
        response = await asked(bound, "POST", **headers)
        assert response.status_code == status
        assert status == 200 or response.json() == {"error": "Another site's page may change nothing here."}
        assert (await asked(bound, "GET", **headers)).status_code == 200
