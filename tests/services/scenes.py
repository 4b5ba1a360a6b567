"""Stages for the services: candles from a script, a store that can go away, a back-test that says what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
from msgspec.structs import replace

from hotbandd import daemon, parts
from hotbandd.adapters.compute import InlineCompute
from hotbandd.adapters.store.memory import MemoryStore
from hotbandd.core import backtest, sessions
from hotbandd.core.candles import MINUTE_MS, Candles, concatenate, empty, of_columns
from hotbandd.core.documents import Params, SpanSummary
from hotbandd.core.series import MetricColumns, Series
from hotbandd.core.setup import Setup
from hotbandd.core.spans import MIN_COVERAGE, SPANS, Figures
from hotbandd.errors import StoreUnreachableError
from hotbandd.ports import CandleSource, Clock, Page
from hotbandd.services.backtests import Backtests
from hotbandd.settings import Settings, load
from tests.services.recording import RecordingTelemetry

NOW = 1_718_800_200_000  # Wednesday 2024-06-19 12:30 UTC: London and New York are open
PAIRS = ("EUR_USD", "GBP_USD", "AUD_USD")
LAG_MS = 10_000
EVAL_MS, ALLOC_MS = 900_000, 600_000
FOR_EVER = 2**53
CALENDAR = sessions.calendar(enabled=True)

GOOD = SpanSummary(
    trades=40,
    win_rate=0.6,
    pnl_total=0.02,
    max_drawdown=0.005,
    calmar=4.0,
    profit_factor=2.0,
    avg_hold_min=60.0,
    exposure=0.1,
    max_losing_streak=3,
    coverage=0.95,
)
BAD = SpanSummary(
    trades=40,
    win_rate=0.3,
    pnl_total=-0.02,
    max_drawdown=0.03,
    calmar=-0.7,
    profit_factor=0.5,
    avg_hold_min=60.0,
    exposure=0.1,
    max_losing_streak=9,
    coverage=0.95,
)
DEAD = replace(GOOD, calmar=0.1)
SHORT = replace(GOOD, coverage=0.5)


def settings_of(**given: object) -> Settings:
    """Load settings: three pairs and two days of history, unless given otherwise."""
    texts = {"hotband_pairs": ",".join(PAIRS), "hotband_source": "simulated", "candle_hot_days": 2, **given}
    return load({name.upper(): str(value) for name, value in texts.items()}, None).settings


def minutes(first: int, last: int, price: float = 1.1) -> Candles:
    """Return one candle for each minute that opens in [first, last), a slow wave around a price."""
    t = np.arange(first, last, MINUTE_MS, dtype=np.int64)
    step = t // MINUTE_MS
    close = price * (1 + 1e-4 * np.sin(step / 7.0) + 5e-5 * np.cos(step * 1.7))
    return of_columns(t, close, close + 1e-4, close - 1e-4, close, 50.0 + step % 17)


def trading(first: int, last: int, price: float = 1.1) -> Candles:
    """Return the same of the FX week alone."""
    rows = CALENDAR.week_openings(first, last)
    return concatenate(minutes(max(first, opens), min(last, closes), price) for opens, closes in rows.tolist())


def faulty(t: int, **wrong: float) -> Candles:
    """Return one candle with some of its columns set to something else."""
    return minutes(t, t + MINUTE_MS)._replace(**{name: np.array([value]) for name, value in wrong.items()})


class ScriptedSource:
    """Serves the candles that lie in ``held`` and then whatever was slipped in, and remembers what it was asked for."""

    name = "scripted"

    def __init__(self, held: Mapping[str, Candles]) -> None:
        self.held = dict(held)
        self.slipped: dict[str, list[Candles]] = {}
        self.faults: dict[str, Exception] = {}
        self.after_pages: dict[str, int] = {}
        self.asked: list[tuple[str, int, int]] = []
        self.page_minutes = 5000

    async def fetch(self, instrument: str, start_ms: int, end_ms: int) -> AsyncIterator[Page]:
        """Iterate over what is held, in pages; raise the instrument's fault, if it has one, after some of them."""
        self.asked.append((instrument, start_ms, end_ms))
        left = self.after_pages.get(instrument, 0)
        wanted = self.held.get(instrument, empty()).between(start_ms, end_ms).closed_by(end_ms)
        pages = [wanted.take(slice(at, at + self.page_minutes)) for at in range(0, wanted.size, self.page_minutes)]
        for page in pages + self.slipped.pop(instrument, []):
            if instrument in self.faults and not left:
                break
            yield Page(page, {})
            left -= 1
        if instrument in self.faults:
            raise self.faults[instrument]

    async def aclose(self) -> None:
        """Hold nothing."""


class HandClock:
    """A clock that a test sets by hand; who sleeps takes it along."""

    speed = slowest = 1.0

    def __init__(self, moment: int = NOW) -> None:
        self.moment = moment

    def now(self) -> int:
        """Return the moment."""
        return self.moment

    async def sleep_until(self, moment_ms: int, *, rank: int = 0) -> None:
        """Jump there."""
        del rank
        self.moment = max(self.moment, moment_ms)
        await anyio.lowlevel.checkpoint()


class ShakyStore:
    """A store whose calls raise StoreUnreachableError on demand: all while ``away``, those named ``broken`` or that ``fails`` picks.

    Calls named ``deaf`` are done, and only their answer is lost.
    """

    def __init__(self, store: MemoryStore) -> None:
        self.inner = store
        self.away = False
        self.broken: set[str] = set()
        self.fails: Callable[[str], bool] = lambda _: False
        self.deaf: set[str] = set()
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)

        async def checked(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if self.away or name in self.broken or self.fails(name):
                raise StoreUnreachableError(f"{name}: nobody answers")
            answer = await call(*args, **kwargs)
            if name in self.deaf:
                raise StoreUnreachableError(f"{name}: the answer was lost")
            return answer

        return checked


class ScriptedBacktests(Backtests):
    """Back-tests as told: ``outcome(pair, run end)`` names the summary of every span, or raises."""

    def __init__(self, desk: daemon.Desk, outcome: Callable[[str, int], SpanSummary]) -> None:
        context = desk.context
        super().__init__(context.market, context.calendar, context.compute, hot_days=95)
        self.outcome = outcome
        self.asked: list[tuple[str, int]] = []
        self.params: dict[str, Params] = {}

    async def figures(self, pair: str, slot: int, setup: Setup, params: Params) -> Figures:
        """Return what the script says of a run on the candles closed by a slot."""
        candles, _ = self._market.series[pair].until(slot)
        self.params[pair] = params
        if not candles.size:
            return await super().figures(pair, slot, setup, params)
        end_ms = backtest.end_of(candles)
        self.asked.append((pair, end_ms))
        span = self.outcome(pair, end_ms)
        days = [str(days) for days in SPANS]
        sufficient = dict.fromkeys(days, span.coverage >= MIN_COVERAGE)
        return Figures(spans=dict.fromkeys(days, span), sufficient=sufficient, integrity=True)


def store_of(settings: Settings, clock: Clock) -> MemoryStore:
    """Build an empty store in memory."""
    return MemoryStore(parts.ages(settings), clock.now)


async def desk_of(
    settings: Settings,
    clock: Clock,
    store: Any,
    source: CandleSource,
    *,
    holder: str = "test",
) -> daemon.Desk:
    """Build a desk as a new process would, and make it lead."""
    outside = daemon.Outside(store, source, InlineCompute(), clock, RecordingTelemetry())
    desk = daemon.desk(settings, outside)
    lease = await store.acquire_lease(holder, FOR_EVER)
    assert lease is not None
    desk.context.leadership.gain(lease)
    return desk


def recorded(desk: daemon.Desk) -> RecordingTelemetry:
    """Return what a desk reported."""
    telemetry = desk.context.telemetry
    assert isinstance(telemetry, RecordingTelemetry)
    return telemetry


def calm(series: Series, until_ms: int, *, start_ms: int = NOW - 400 * MINUTE_MS) -> None:
    """Let a series reach a moment with the same good metrics in every minute, so that no overlay shuts its gate."""
    series.add(minutes(max(series.newest + MINUTE_MS, start_ms), until_ms))
    rows = series.size - series.measured
    columns = (0.8, 0.7, 0.3, 0.1, 0.0)
    series.fill(MetricColumns(*(np.full(rows, value) for value in columns)))
