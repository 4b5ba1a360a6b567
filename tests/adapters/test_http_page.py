"""The addresses of the page: its files, its data, its events."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from hotbandd.adapters.http import events
from hotbandd.adapters.http.assets import CHART_LIBRARY, POLICY
from hotbandd.adapters.http.events import Events
from tests.adapters.test_http import PAIR, State, client_of, sentence


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
async def client(state: State) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(state) as found:
        yield found


@pytest.mark.parametrize("path", ["/", f"/instrument/{PAIR}"])
async def test_a_page_is_html_that_runs_only_what_is_served_here(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "<script>" not in response.text
    assert " style=" not in response.text
    assert "//" not in response.text.replace("<!--", "").replace("http://www.w3.org", "")


async def test_every_file_that_a_page_names_is_there(client: httpx.AsyncClient) -> None:
    for path in ("/", f"/instrument/{PAIR}"):
        text = (await client.get(path)).text
        named = {part.split('"')[0] for part in text.split('"/web/')[1:]}
        assert named
        for name in named:
            assert (await client.get(f"/web/{name}")).status_code == 200, name


async def test_a_file_that_the_browser_has_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/web/style.css")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/web/style.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await client.get("/web/page.js")).headers["etag"] != first.headers["etag"]


async def test_files_are_compressed_for_who_understands_that(client: httpx.AsyncClient) -> None:
    plain = await client.get("/web/style.css", headers={"Accept-Encoding": "identity"})
    packed = await client.get("/web/style.css", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.content == plain.content


async def test_the_chart_library_comes_out_of_the_installed_package(client: httpx.AsyncClient) -> None:
    first = await client.get(f"/web/{CHART_LIBRARY}", headers={"Accept-Encoding": "gzip"})
    assert first.status_code == 200
    assert b"plotly.js" in first.content[:200]
    assert int(first.headers["content-length"]) < 2_000_000
    again = await client.get(f"/web/{CHART_LIBRARY}", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["nothing.js", "..%2F..%2Fpyproject.toml", "%2e%2e/daemon.py", "index.html/x"])
async def test_no_other_file_is_served(client: httpx.AsyncClient, name: str) -> None:
    sentence(await client.get(f"/web/{name}"), 404)


async def test_an_instrument_that_is_not_followed_has_a_page_that_says_so(client: httpx.AsyncClient) -> None:
    response = await client.get("/instrument/XAU_USD")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")


async def test_the_page_that_is_not_there_in_time_is_asked_for_again(client: httpx.AsyncClient, state: State) -> None:
    assert (await client.get("/api/page")).json() == {"version": 7}
    state.pages.page = None
    response = await client.get("/api/page")
    sentence(response, 503)
    assert response.headers["retry-after"] == "5"


async def test_a_long_page_is_compressed(client: httpx.AsyncClient, state: State) -> None:
    state.pages.page = json.dumps({"words": "again and again " * 1000}).encode()
    response = await client.get("/api/page", headers={"Accept-Encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert response.content == state.pages.page
    assert int(response.headers["content-length"]) < len(gzip.compress(state.pages.page)) * 2


async def test_events_are_framed_and_begin_with_the_page(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert "content-encoding" not in response.headers
    retry, *told = response.text.strip().split("\n\n")
    assert retry.startswith("retry: ")
    assert told == [
        'id: 7\nevent: page\ndata: {"version":7}',
        'id: 8\nevent: change\ndata: {"version":8}',
    ]


@pytest.mark.parametrize("seen", [{"params": {"since": "7"}}, {"headers": {"Last-Event-ID": "7"}}])
async def test_who_has_the_page_is_not_sent_it_again(
    client: httpx.AsyncClient, seen: dict[str, dict[str, str]]
) -> None:
    response = await client.get("/api/events", **seen)  # type: ignore[arg-type]
    assert "event: page" not in response.text
    assert "event: change" in response.text


@pytest.mark.parametrize("since", ["", "x", "-1", "1.5", "9" * 17])
async def test_a_version_that_is_none_is_refused(client: httpx.AsyncClient, since: str) -> None:
    sentence(await client.get("/api/events", params={"since": since}), 400)


async def test_one_listener_too_many_is_told_so(client: httpx.AsyncClient, state: State) -> None:
    state.pages.room = False
    response = await client.get("/api/events")
    assert "too many" in sentence(response, 503).lower()
    assert response.headers["retry-after"] == "5"


@pytest.mark.parametrize("hours", ["0", "-1", "x", "2161", "1e3", "10000"])
async def test_hours_out_of_bounds_are_refused(client: httpx.AsyncClient, hours: str) -> None:
    sentence(await client.get(f"/api/instrument/{PAIR}/chart", params={"hours": hours}), 400)


async def test_a_listener_that_takes_nothing_is_let_go(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "TAKE_SEC", 0.05)

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await anyio.sleep_forever()

    scope: Scope = {"type": "http", "method": "GET", "path": "/api/events", "headers": [], "asgi": {}}
    takes_nothing: Send = send
    gone: Receive = receive
    with anyio.fail_after(10):
        await Events(state, None)(scope, gone, takes_nothing)
