"""The HTTP interface: documents as they are stored, errors as sentences, a server that stops in time."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hotbandd.adapters.http import HttpState, application, page, serve
from hotbandd.adapters.http.endpoints import ENDPOINTS
from hotbandd.adapters.http.server import STOP_SEC
from hotbandd.adapters.metrics import telemetry
from hotbandd.adapters.store.memory import MemoryStore
from hotbandd.core.backfill import Fetched
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.chart import Chart, Metrics
from hotbandd.core.chart import bars as bars_of
from hotbandd.core.documents import encode
from hotbandd.core.page_documents import Update
from hotbandd.errors import (
    CorruptPayloadError,
    RefusedError,
    SettingsError,
    SourceUnreachableError,
    StoreUnreachableError,
)
from hotbandd.settings import Secret
from tests.adapters import store_samples as samples
from tests.adapters.store_samples import AGES, PAIR, START

TOKEN = "a-token-of-some-length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class State:
    """A daemon, for its HTTP server."""

    def __init__(self) -> None:
        self.moment = START + 10 * MINUTE_MS
        self.store: Any = MemoryStore(AGES, lambda: START)
        self.pairs = (PAIR, "USD_JPY")
        self.granularity = "M1"
        self.token: Secret | None = Secret(TOKEN)
        self.broker: Any = Broker()
        self.well = True
        self.pages: Any = Pages()
        self.fetch: Any = Fetcher()

    async def chart(self, instrument: str, hours: int) -> Chart:
        bars, minutes = bars_of(samples.candles(*range(10)))
        metrics = Metrics(t=[], C=[], S=[], H=[], R=[])
        return Chart(
            instrument=instrument,
            now=self.moment,
            hours=hours,
            minutes_per_bar=minutes,
            bars=bars,
            metrics=metrics,
            bounds={},
            trades=None,
            tested_from=None,
            tested_to=None,
            param_key=None,
            note="No trades.",
        )

    def now(self) -> int:
        return self.moment

    def health(self) -> dict[str, object]:
        return {"healthy": self.well, "silent_loops": []}

    def readiness(self) -> dict[str, object]:
        return {"ready": self.well, "reasons": [] if self.well else ["Valkey does not answer"]}

    def status(self) -> dict[str, object]:
        return {"now": self.moment, "leading": True}

    def metrics(self) -> bytes:
        return telemetry(self.now).exposition()


class Fetcher:
    """Fetches candles, or fails at it in one way."""

    def __init__(self) -> None:
        self.busy = False
        self.asked: list[tuple[str, int]] = []
        self.fault: Exception | None = None

    async def run(self, instrument: str, count: int) -> Fetched:
        self.asked.append((instrument, count))
        if self.fault is not None:
            raise self.fault
        return Fetched(
            instrument=instrument,
            granularity="M1",
            count=count,
            stored=2,
            t0_ms=START,
            t1_ms=START + 60_000,
            refused={},
        )


class Pages:
    """A page that nobody keeps up: one snapshot, and two updates."""

    room = True
    page: bytes | None = b'{"version":7}'

    async def snapshot(self) -> bytes | None:
        return self.page

    @asynccontextmanager
    async def listen(self, since: int | None) -> AsyncIterator[Any]:
        async def updates() -> AsyncIterator[Update]:
            if since != 7:
                yield Update(7, "page", b'{"version":7}')
            yield Update(8, "change", b'{"version":8}')

        yield updates()


class Broker:
    async def account(self) -> dict[str, Any]:
        return {"account": {"balance": "24872.97"}}

    async def open_trades(self) -> dict[str, Any]:
        return {"trades": []}


class Broken:
    """A store that fails at everything in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _name: str) -> Any:
        async def fail(*_args: Any, **_options: Any) -> None:
            raise self._error

        return fail


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
async def client(state: State) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(state) as found:
        yield found


def client_of(state: HttpState) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application(state), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://hotband")


async def filled(state: State) -> None:
    lease = await state.store.acquire_lease("me", 1000)
    await state.store.publish_manifold(lease, samples.update(epoch=lease.epoch))
    await state.store.publish_evaluation(lease, samples.evaluation(epoch=lease.epoch))
    await state.store.publish_allocation(
        lease, samples.weights(START - 600_000, epoch=lease.epoch), samples.status(epoch=lease.epoch)
    )
    await state.store.put_candles(PAIR, "M1", samples.candles(*range(10)))


def sentence(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert body["error"].endswith(".")
    return str(body["error"])


async def test_documents_are_returned_as_they_are_stored(client: httpx.AsyncClient, state: State) -> None:
    await filled(state)
    found = await client.get("/api/coherence/status", params={"instrument": PAIR})
    assert found.headers["content-type"] == "application/json"
    assert found.headers["cache-control"] == "no-store"
    assert found.content == encode(await state.store.manifold(PAIR))
    assert (await client.get("/api/rolling/gates")).content == encode(await state.store.gates_blob())


async def test_without_an_instrument_all_manifolds_come_and_the_missing_are_named(
    client: httpx.AsyncClient, state: State
) -> None:
    await filled(state)
    body = (await client.get("/api/coherence/status")).json()
    assert body == {
        "ts": state.moment,
        "manifolds": {PAIR: msgspec.json.decode(encode(await state.store.manifold(PAIR)))},
        "missing": ["USD_JPY"],
    }


async def test_coefficients_come_with_their_moment(client: httpx.AsyncClient, state: State) -> None:
    await filled(state)
    body = (await client.get("/api/manifold/coeffs")).json()
    assert body["coeffs"] == {PAIR: {"ts": START, "sigma_eff": 1e-4, "lambda": 0.1, "lambda_hazard": 0.1}}
    assert body["missing"] == ["USD_JPY"]


async def test_the_allocation_bears_the_stamp_of_its_newer_document(client: httpx.AsyncClient, state: State) -> None:
    await filled(state)
    body = (await client.get("/api/risk/allocation-status")).json()
    assert body["ts"] == START
    assert body["weights"]["weights"] == {PAIR: 0.1}
    assert body["status"]["selected"] == [PAIR]


async def test_weights_without_a_status_are_shown_without_one(client: httpx.AsyncClient, state: State) -> None:
    await filled(state)
    weights = await state.store.weights()
    state.store = Broken(AssertionError())
    state.store.allocator_status = none
    state.store.weights = lambda: returned(weights)
    body = (await client.get("/api/risk/allocation-status")).json()
    assert (body["ts"], body["status"], body["weights"]["ts"]) == (START - 600_000, None, START - 600_000)


async def none() -> None:
    return None


async def returned(value: object) -> object:
    return value


@pytest.mark.parametrize(
    "path",
    [
        "/api/coherence/status",
        f"/api/coherence/status?instrument={PAIR}",
        "/api/manifold/coeffs",
        f"/api/candles?instrument={PAIR}&count=5",
        "/api/rolling/gates",
        "/api/risk/allocation-status",
    ],
)
async def test_what_is_not_there_yet_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert sentence(await client.get(path), 404).startswith("There is no ")


async def test_the_newest_candles_come_ascending(client: httpx.AsyncClient, state: State) -> None:
    await filled(state)
    body = (await client.get("/api/candles", params={"instrument": PAIR, "count": 3})).json()
    assert [candle["t"] for candle in body["candles"]] == [START + minute * MINUTE_MS for minute in (7, 8, 9)]
    assert set(body["candles"][0]) == {"t", "o", "h", "l", "c", "v", "bid", "ask"}
    assert (body["instrument"], body["granularity"]) == (PAIR, "M1")


@pytest.mark.parametrize("gap_days", [0.1, 3, 10, 60])
async def test_candles_from_before_a_gap_fill_up_the_count(
    client: httpx.AsyncClient, state: State, gap_days: float
) -> None:
    state.moment = START + round(gap_days * DAY_MS) // MINUTE_MS * MINUTE_MS
    newest = (state.moment - START) // MINUTE_MS - 1
    await state.store.put_candles(PAIR, "M1", samples.candles(0, 1, 2, newest))
    body = (await client.get("/api/candles", params={"instrument": PAIR, "count": 3})).json()
    minutes = [(candle["t"] - START) // MINUTE_MS for candle in body["candles"]]
    assert minutes == [1, 2, newest]


async def test_fewer_candles_than_asked_for_are_all_that_there_are(client: httpx.AsyncClient, state: State) -> None:
    await filled(state)
    body = (await client.get("/api/candles", params={"instrument": PAIR, "count": 5000})).json()
    assert len(body["candles"]) == 10


@given(st.sets(st.integers(0, 20_000), min_size=1, max_size=40), st.integers(1, 50))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_newest_candles_are_those_a_sort_would_give(minutes: set[int], count: int) -> None:
    state = State()
    state.moment = START + 20_001 * MINUTE_MS
    await state.store.put_candles(PAIR, "M1", samples.candles(*sorted(minutes)))
    async with client_of(state) as client:
        body = (await client.get("/api/candles", params={"instrument": PAIR, "count": count})).json()
    expected = START + np.array(sorted(minutes)[-count:]) * MINUTE_MS
    assert [candle["t"] for candle in body["candles"]] == expected.tolist()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/candles", 400),
        (f"/api/candles?instrument={PAIR}", 400),
        ("/api/candles?count=5", 400),
        (f"/api/candles?instrument={PAIR}&count=", 400),
        (f"/api/candles?instrument={PAIR}&count=0", 400),
        (f"/api/candles?instrument={PAIR}&count=5001", 400),
        (f"/api/candles?instrument={PAIR}&count=-1", 400),
        (f"/api/candles?instrument={PAIR}&count=1e3", 400),
        (f"/api/candles?instrument={PAIR}&count=%2B5", 400),
        (f"/api/candles?instrument={PAIR}&count=%D9%A3", 400),
        (f"/api/candles?instrument={PAIR}&count=5&count=6", 400),
        (f"/api/candles?instrument={PAIR}&count=5&gran=M5", 400),
        ("/api/candles?instrument=EURUSD&count=5", 400),
        ("/api/candles?instrument=..%2F..%2Fetc&count=5", 400),
        ("/api/candles?instrument=XAU_USD&count=5", 404),
        ("/api/coherence/status?instrument=", 400),
        ("/api/coherence/status?instrument=eur_usd", 400),
        ("/api/coherence/status?instrument=XAU_USD", 404),
        ("/api/coherence/status?instrment=EUR_USD", 400),
        ("/api/rolling/gates?x=1", 400),
        ("/nowhere", 404),
    ],
)
async def test_a_wrong_request_is_told_so_in_a_sentence(client: httpx.AsyncClient, path: str, status: int) -> None:
    sentence(await client.get(path), status)


async def test_a_wrong_method_is_told_so(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/rolling/gates")
    sentence(response, 405)
    assert "GET" in response.headers["allow"]


@given(st.dictionaries(st.sampled_from(["instrument", "count", "x"]), st.text(max_size=12)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_query_crashes_it(query: dict[str, str]) -> None:
    async with client_of(State()) as client:
        for endpoint in ENDPOINTS:
            response = await client.request(endpoint.method, endpoint.path, params=query)
            assert response.status_code in {200, 400, 401, 404}


STORED = [
    each.path
    for each in ENDPOINTS
    if each.path.startswith("/api/") and each.method == "GET" and not each.secured and each not in page.ENDPOINTS
]


def asking(path: str) -> str:
    return f"{path}?instrument={PAIR}&count=5" if path == "/api/candles" else path


@pytest.mark.parametrize("path", STORED)
async def test_a_store_that_is_away_makes_it_unavailable(client: httpx.AsyncClient, state: State, path: str) -> None:
    state.store = Broken(StoreUnreachableError("Valkey does not answer."))
    response = await client.get(asking(path))
    assert sentence(response, 503) == "Valkey does not answer."
    assert response.headers["retry-after"] == "2"


@pytest.mark.parametrize("path", STORED)
async def test_a_corrupt_payload_is_named(client: httpx.AsyncClient, state: State, path: str) -> None:
    state.store = Broken(CorruptPayloadError("some:key", "not JSON"))
    assert "some:key" in sentence(await client.get(asking(path)), 500)


async def test_what_goes_wrong_inside_is_not_told_outside(client: httpx.AsyncClient, state: State) -> None:
    state.store = Broken(RuntimeError("inner workings"))
    assert "inner" not in sentence(await client.get("/api/rolling/gates"), 500)


async def test_health_and_readiness_speak_by_their_status(client: httpx.AsyncClient, state: State) -> None:
    for path, word in (("/healthz", "healthy"), ("/readyz", "ready")):
        state.well = True
        good = await client.get(path)
        assert (good.status_code, good.json()[word]) == (200, True)
        state.well = False
        bad = await client.get(path)
        assert (bad.status_code, bad.json()[word]) == (503, False)


async def test_the_probes_answer_while_the_store_is_away(client: httpx.AsyncClient, state: State) -> None:
    state.store = Broken(StoreUnreachableError("Valkey does not answer."))
    for path in ("/healthz", "/readyz", "/status", "/metrics"):
        assert (await client.get(path)).status_code == 200


async def test_the_status_is_that_of_the_daemon(client: httpx.AsyncClient, state: State) -> None:
    assert (await client.get("/status")).json() == state.status()


async def test_the_metrics_can_be_read_by_prometheus(client: httpx.AsyncClient) -> None:
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(response.text)}
    assert "hotband_leader" in names


async def test_a_missing_kill_switch_counts_as_engaged(client: httpx.AsyncClient, state: State) -> None:
    assert (await client.get("/api/kill-switch")).json() == {"kill_switch": True}
    await state.store.set_kill_switch(engaged=False)
    assert (await client.get("/api/kill-switch")).json() == {"kill_switch": False}


async def test_the_kill_switch_is_set_by_who_bears_the_token(client: httpx.AsyncClient, state: State) -> None:
    for engaged in (False, True):
        response = await client.post("/api/kill-switch", json={"kill_switch": engaged}, headers=BEARER)
        assert response.json() == {"kill_switch": engaged}
        assert await state.store.kill_switch() is engaged


@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Bearer ", "Bearer wrong", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x"]
)
async def test_without_the_token_nothing_is_set(client: httpx.AsyncClient, state: State, value: str | None) -> None:
    headers = {} if value is None else {"Authorization": value}
    response = await client.post("/api/kill-switch", json={"kill_switch": False}, headers=headers)
    assert TOKEN not in sentence(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"
    assert await state.store.kill_switch() is None


ACCOUNT, TRADES = "/api/oanda/account", "/api/oanda/open-trades"


async def test_the_account_and_its_trades_are_shown_to_who_bears_the_token(client: httpx.AsyncClient) -> None:
    assert (await client.get(ACCOUNT, headers=BEARER)).json() == {"account": {"balance": "24872.97"}}
    assert (await client.get(TRADES, headers=BEARER)).json() == {"trades": []}


@pytest.mark.parametrize("path", [ACCOUNT, TRADES])
async def test_the_account_is_shown_to_nobody_else(client: httpx.AsyncClient, state: State, path: str) -> None:
    assert "24872" not in sentence(await client.get(path), 401)
    state.token = None
    assert "HOTBAND_HTTP_TOKEN" in sentence(await client.get(path, headers=BEARER), 403)


async def test_without_a_broker_there_is_no_account(client: httpx.AsyncClient, state: State) -> None:
    state.broker = None
    assert "OANDA" in sentence(await client.get(ACCOUNT, headers=BEARER), 404)


@pytest.mark.parametrize(
    ("error", "status"),
    [(RefusedError("There is no such account."), 502), (SourceUnreachableError("OANDA is away."), 503)],
)
async def test_a_broker_that_fails_is_an_error_of_the_outside(
    client: httpx.AsyncClient, state: State, error: Exception, status: int
) -> None:
    state.broker = Broken(error)
    assert str(error) in sentence(await client.get(ACCOUNT, headers=BEARER), status)


async def test_while_no_token_is_set_nothing_can_be(client: httpx.AsyncClient, state: State) -> None:
    state.token = None
    response = await client.post("/api/kill-switch", json={"kill_switch": False}, headers=BEARER)
    assert "HOTBAND_HTTP_TOKEN" in sentence(response, 403)
    assert await state.store.kill_switch() is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{}", 400),
        (b'{"kill_switch":0}', 400),
        (b'{"kill_switch":"false"}', 400),
        (b'{"kill_switch":null}', 400),
        (b'{"kill_switch":false,"x":1}', 400),
        (b"\xff", 400),
        (b"[" * 4000, 400),
        (b" " * 5000, 413),
    ],
)
async def test_a_malformed_body_sets_nothing(client: httpx.AsyncClient, state: State, body: bytes, status: int) -> None:
    sentence(await client.post("/api/kill-switch", content=body, headers=BEARER), status)
    assert await state.store.kill_switch() is None


async def test_the_description_is_true(client: httpx.AsyncClient, state: State) -> None:
    described = (await client.get("/openapi.json")).json()
    assert described["openapi"] == "3.1.0"
    references = set(_references(described))
    assert references <= {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    await filled(state)
    bodies = {"/api/kill-switch": {"kill_switch": True}, "/api/candles/fetch": FETCH}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            wanted = [field for field in operation.get("parameters", []) if field["required"]]
            values = {"instrument": PAIR, "count": "5", "hours": "6"}
            query = {field["name"]: values[field["name"]] for field in wanted if field["in"] == "query"}
            body: dict[str, Any] = {"headers": BEARER} if "security" in operation else {}
            body |= {"json": bodies[path]} if "requestBody" in operation else {}
            url = path.format(instrument=PAIR)
            response = await client.request(method, url, params=query, **body)
            assert response.status_code == 200, url
            (media,) = operation["responses"]["200"]["content"]
            assert response.headers["content-type"].startswith(media)
            for name in query:
                left = {key: value for key, value in query.items() if key != name}
                assert (await client.request(method, url, params=left, **body)).status_code == 400


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    return [found for value in node for found in _references(value)] if isinstance(node, list) else []


async def test_a_server_answers_over_a_socket_until_it_is_cancelled(state: State) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with anyio.create_task_group() as tasks:
        url = await tasks.start(serve, application(state), "127.0.0.1", 0)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/healthz")).json()["healthy"] is True
            assert "server" not in (await client.get("/status")).headers
        began = anyio.current_time()
        tasks.cancel_scope.cancel()
    assert anyio.current_time() - began < STOP_SEC
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/healthz")


async def test_a_server_stops_in_time_while_a_request_hangs() -> None:
    hanging = anyio.Event()

    async def hang(_request: Request) -> PlainTextResponse:
        hanging.set()
        await anyio.sleep_forever()
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/", hang)])
    async with anyio.create_task_group() as client_tasks:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                url = await tasks.start(serve, app, "127.0.0.1", 0)
                client_tasks.start_soon(_ask, url)
                await hanging.wait()
                began = anyio.current_time()
                tasks.cancel_scope.cancel()
        assert anyio.current_time() - began < STOP_SEC + 1


async def _ask(url: str) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.get(url)
        assert response.status_code == 500


async def test_an_idle_connection_does_not_keep_a_server_from_stopping(state: State) -> None:
    async with anyio.create_task_group() as tasks:
        url = await tasks.start(serve, application(state), "127.0.0.1", 0)
        port = int(url.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port):
            began = anyio.current_time()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
    assert anyio.current_time() - began < STOP_SEC


async def test_an_address_that_is_taken_is_named(state: State) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"HOTBAND_HTTP: 127.0.0.1:{port} cannot be listened on"):
            await serve(application(state), "127.0.0.1", port)


async def test_a_host_that_is_not_ours_is_named(state: State) -> None:
    with pytest.raises(SettingsError, match="cannot be listened on"):
        await serve(application(state), "203.0.113.7", 8100)


async def test_a_server_listens_on_ipv6(state: State) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    async with anyio.create_task_group() as tasks:
        try:
            url = await tasks.start(serve, application(state), "::1", 0)
        except SettingsError:
            pytest.skip("no IPv6 loopback here")
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/healthz")).status_code == 200
        tasks.cancel_scope.cancel()


FETCH = {"instrument": PAIR, "granularity": "M1", "count": 1500}


async def test_candles_are_fetched_for_who_bears_the_token(client: httpx.AsyncClient, state: State) -> None:
    done = await client.post("/api/candles/fetch", json=FETCH, headers=BEARER)
    assert done.status_code == 200
    assert done.json() == {
        "instrument": PAIR,
        "granularity": "M1",
        "count": 1500,
        "stored": 2,
        "t0_ms": START,
        "t1_ms": START + 60_000,
        "refused": {},
    }
    assert state.fetch.asked == [(PAIR, 1500)]
    sentence(await client.post("/api/candles/fetch", json=FETCH), 401)
    sentence(await client.post("/api/candles/fetch", json=FETCH, headers={"Authorization": "Bearer wrong"}), 401)
    state.token = None
    assert "HOTBAND_HTTP_TOKEN" in sentence(await client.post("/api/candles/fetch", json=FETCH, headers=BEARER), 403)
    assert len(state.fetch.asked) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"instrument": None},
        {"granularity": None},
        {"count": None},
        {"instrument": "EUR/USD"},
        {"instrument": "eur_usd"},
        {"granularity": "H1"},
        {"count": 0},
        {"count": 5001},
        {"count": "10"},
        {"count": 1.5},
        {"count": True},
        {"days": 3},
    ],
    ids=str,
)
async def test_a_fetch_with_a_missing_or_malformed_field_is_refused(
    client: httpx.AsyncClient, state: State, change: dict[str, Any]
) -> None:
    body = {name: value for name, value in {**FETCH, **change}.items() if value is not None}
    sentence(await client.post("/api/candles/fetch", json=body, headers=BEARER), 400)
    assert state.fetch.asked == []


async def test_a_fetch_of_what_is_not_followed_is_refused(client: httpx.AsyncClient) -> None:
    body = {**FETCH, "instrument": "XAU_USD"}
    assert "HOTBAND_PAIRS" in sentence(await client.post("/api/candles/fetch", json=body, headers=BEARER), 404)


async def test_one_fetch_at_a_time(client: httpx.AsyncClient, state: State) -> None:
    state.fetch.busy = True
    refused = await client.post("/api/candles/fetch", json=FETCH, headers=BEARER)
    assert "under way" in sentence(refused, 429)
    assert refused.headers["retry-after"] == "2"


async def test_a_fetch_says_why_the_source_gives_nothing(client: httpx.AsyncClient, state: State) -> None:
    state.fetch.fault = SourceUnreachableError("OANDA does not answer; see its status page.")
    assert sentence(await client.post("/api/candles/fetch", json=FETCH, headers=BEARER), 503).startswith("OANDA")
    state.fetch.fault = RefusedError("OANDA refuses the token; make a new one.")
    assert sentence(await client.post("/api/candles/fetch", json=FETCH, headers=BEARER), 502).startswith("OANDA")
