"""What each address answers. ``ENDPOINTS`` is the one list of them, for routing and for ``/openapi.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hotbandd.adapters.http import page, requests
from hotbandd.adapters.http.answers import answer, content, nothing_yet
from hotbandd.adapters.http.endpoint import Endpoint
from hotbandd.adapters.http.state import HttpState
from hotbandd.core.backfill import Fetched
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candle, Candles, concatenate
from hotbandd.core.documents import AllocatorStatus, Coefficients, GatesBlob, Manifold, Weights
from hotbandd.core.units import Name
from hotbandd.ports import Broker

log = structlog.get_logger()

LOOK_BACK_MS: Final = (4 * DAY_MS, 14 * DAY_MS, 90 * DAY_MS)
"""How far to look for more candles beyond the minutes asked for, step by step: a weekend, holidays, an outage."""


class Manifolds(msgspec.Struct):
    """Newest manifolds by instrument, and the instruments without one."""

    ts: int
    manifolds: dict[str, Manifold]
    missing: list[str]


class CoefficientsAt(Coefficients, frozen=True, kw_only=True):
    """Coefficients, and the moment that they are of."""

    ts: int


class CoefficientsList(msgspec.Struct):
    """Newest coefficients by instrument, and the instruments without any."""

    ts: int
    coeffs: dict[str, CoefficientsAt]
    missing: list[str]


class CandleList(msgspec.Struct):
    """The newest candles, ascending."""

    instrument: str
    granularity: str
    candles: list[Candle]


class AllocationStatus(msgspec.Struct):
    """The allocator's last status and the published weights; ``ts`` is the newer document's."""

    ts: int
    status: AllocatorStatus | None
    weights: Weights | None


class KillSwitch(msgspec.Struct, forbid_unknown_fields=True):
    """Whether the kill switch is engaged; a missing one counts as engaged."""

    kill_switch: bool


class FetchCandles(msgspec.Struct, forbid_unknown_fields=True):
    """What to fetch: the last ``count`` minutes of an open market."""

    instrument: Name
    granularity: str
    count: Annotated[int, msgspec.Meta(ge=1, le=requests.COUNT_MAX)]


async def metrics(state: HttpState, request: Request) -> Response:
    """Answer with the metrics."""
    requests.parameters(request)
    return content(state.metrics(), CONTENT_TYPE_LATEST)


async def health(state: HttpState, request: Request) -> Response:
    """Answer whether the process and its loops are alive."""
    requests.parameters(request)
    report = state.health()
    return answer(report, 200 if report["healthy"] is True else 503)


async def readiness(state: HttpState, request: Request) -> Response:
    """Answer whether what is published can be relied on."""
    requests.parameters(request)
    report = state.readiness()
    return answer(report, 200 if report["ready"] is True else 503)


async def status(state: HttpState, request: Request) -> Response:
    """Answer with what the daemon does."""
    requests.parameters(request)
    return answer(state.status())


async def coherence(state: HttpState, request: Request) -> Response:
    """Answer with one manifold, or with all."""
    given = requests.parameters(request, optional=["instrument"])
    if "instrument" not in given:
        found = await _manifolds(state)
        return answer(Manifolds(state.now(), found, _missing(state, found)))
    name = requests.followed(given["instrument"], state.pairs)
    document = await state.store.manifold(name)
    if document is None:
        raise nothing_yet(f"manifold of {name}")
    return answer(document)


async def coefficients(state: HttpState, request: Request) -> Response:
    """Answer with the coefficients of all manifolds."""
    requests.parameters(request)
    found = await _manifolds(state)
    coeffs = {name: CoefficientsAt(ts=each.ts, **msgspec.structs.asdict(each.coeffs)) for name, each in found.items()}
    return answer(CoefficientsList(state.now(), coeffs, _missing(state, found)))


async def candles(state: HttpState, request: Request) -> Response:
    """Answer with the newest candles of an instrument."""
    given = requests.parameters(request, required=["instrument", "count"])
    name = requests.followed(given["instrument"], state.pairs)
    found = await _newest(state, name, requests.count(given["count"]))
    if not found.size:
        raise nothing_yet(f"candle of {name}")
    return answer(CandleList(name, state.granularity, list(found.rows())))


async def gates(state: HttpState, request: Request) -> Response:
    """Answer with the gates."""
    requests.parameters(request)
    blob = await state.store.gates_blob()
    if blob is None:
        raise nothing_yet("gates blob")
    return answer(blob)


async def allocation(state: HttpState, request: Request) -> Response:
    """Answer with the allocator's status and the weights."""
    requests.parameters(request)
    last, weights = await state.store.allocator_status(), await state.store.weights()
    stamps = [document.ts for document in (last, weights) if document]
    if not stamps:
        raise nothing_yet("allocation")
    return answer(AllocationStatus(max(stamps), last, weights))


async def kill_switch(state: HttpState, request: Request) -> Response:
    """Answer whether the kill switch is engaged."""
    requests.parameters(request)
    return answer(KillSwitch(await state.store.kill_switch() is not False))


async def set_kill_switch(state: HttpState, request: Request) -> Response:
    """Engage or release the kill switch."""
    requests.authorize(request, state.token)
    requests.parameters(request)
    wanted = await requests.body(request, KillSwitch)
    await state.store.set_kill_switch(engaged=wanted.kill_switch)
    log.warning("kill_switch.set", engaged=wanted.kill_switch, by="http")
    return answer(wanted)


async def fetch_candles(state: HttpState, request: Request) -> Response:
    """Fetch candles from the source and store them."""
    requests.authorize(request, state.token)
    requests.parameters(request)
    wanted = await requests.body(request, FetchCandles)
    name = requests.followed(wanted.instrument, state.pairs)
    if wanted.granularity != state.granularity:
        raise HTTPException(400, f"The field 'granularity' must be {state.granularity}.")
    if state.fetch.busy:
        raise HTTPException(429, "A fetch is under way; ask again when it has ended.", {"Retry-After": "2"})
    return answer(await state.fetch.run(name, wanted.count))


async def account(state: HttpState, request: Request) -> Response:
    """Answer with the account."""
    return answer(await _broker(state, request).account())


async def open_trades(state: HttpState, request: Request) -> Response:
    """Answer with the open trades."""
    return answer(await _broker(state, request).open_trades())


def _broker(state: HttpState, request: Request) -> Broker:
    """Return the broker to who bears the token; 404 without a broker."""
    requests.authorize(request, state.token)
    requests.parameters(request)
    if state.broker is None:
        raise HTTPException(
            404, "Candles do not come from OANDA here; run with HOTBAND_SOURCE=oanda to see its account."
        )
    return state.broker


ENDPOINTS: Final = (
    Endpoint("GET", "/metrics", metrics, "Metrics in Prometheus' text format"),
    Endpoint("GET", "/healthz", health, "Whether the process and every loop is alive", (dict[str, Any],), judging=True),
    Endpoint(
        "GET",
        "/readyz",
        readiness,
        "Whether data is fresh, Valkey answers and the leader is known",
        (dict[str, Any],),
        judging=True,
    ),
    Endpoint("GET", "/status", status, "What the daemon does", (dict[str, Any],)),
    Endpoint(
        "GET",
        "/api/coherence/status",
        coherence,
        "The newest manifold of an instrument, or of all",
        (Manifold, Manifolds),
        {"instrument": False},
    ),
    Endpoint(
        "GET", "/api/manifold/coeffs", coefficients, "The newest coefficients of all instruments", (CoefficientsList,)
    ),
    Endpoint(
        "GET",
        "/api/candles",
        candles,
        f"The newest candles of an instrument, 1 to {requests.COUNT_MAX}",
        (CandleList,),
        {"instrument": True, "count": True},
    ),
    Endpoint("GET", "/api/rolling/gates", gates, "The gates", (GatesBlob,)),
    Endpoint(
        "GET", "/api/risk/allocation-status", allocation, "The allocator's status and the weights", (AllocationStatus,)
    ),
    Endpoint("GET", "/api/kill-switch", kill_switch, "Whether the kill switch is engaged", (KillSwitch,)),
    Endpoint(
        "POST",
        "/api/kill-switch",
        set_kill_switch,
        "Engage or release the kill switch",
        (KillSwitch,),
        {},
        KillSwitch,
        secured=True,
    ),
    Endpoint(
        "POST",
        "/api/candles/fetch",
        fetch_candles,
        f"Fetch the newest candles of an instrument from their source, 1 to {requests.COUNT_MAX}, one request at a time",
        (Fetched,),
        body=FetchCandles,
        secured=True,
    ),
    Endpoint("GET", "/api/oanda/account", account, "The account, as OANDA words it", (dict[str, Any],), secured=True),
    Endpoint(
        "GET",
        "/api/oanda/open-trades",
        open_trades,
        "The open trades, as OANDA words them",
        (dict[str, Any],),
        secured=True,
    ),
    *page.ENDPOINTS,
)


async def _manifolds(state: HttpState) -> dict[str, Manifold]:
    """Return the manifolds that there are; 404 if there is none."""
    found = {name: document for name in state.pairs if (document := await state.store.manifold(name))}
    if not found:
        raise nothing_yet("manifold")
    return found


def _missing(state: HttpState, found: Mapping[str, object]) -> list[str]:
    return [name for name in state.pairs if name not in found]


async def _newest(state: HttpState, name: str, wanted: int) -> Candles:
    """Return the newest candles, looking further back only as far as they do not suffice."""
    end = state.now()
    start = end - wanted * MINUTE_MS
    page = await state.store.candles(name, state.granularity, start, end)
    found = page.candles
    for step in LOOK_BACK_MS:
        if found.size >= wanted:
            break
        older = await state.store.candles(name, state.granularity, start - step, start)
        found, start = concatenate((older.candles, found)), start - step
    return found.take(slice(max(0, found.size - wanted), found.size))
