"""Histories that cannot be judged get a reason, and the other instruments go on as if nothing was."""

from __future__ import annotations

from functools import lru_cache

import anyio
import numpy as np
import pytest

from hotbandd.adapters.simulator import DEFAULT_SEED
from hotbandd.adapters.simulator.market import week_of
from hotbandd.adapters.simulator.weeks import week_at
from hotbandd.core import manifold
from hotbandd.core.candles import DAY_MS, Candles, concatenate, empty
from hotbandd.core.documents import GatesBlob
from hotbandd.services.backtests import Backtests
from hotbandd.services.loop import Due
from hotbandd.settings import Settings
from tests.services.scenes import (
    EVAL_MS,
    FOR_EVER,
    LAG_MS,
    NOW,
    PAIRS,
    HandClock,
    ScriptedSource,
    desk_of,
    settings_of,
    store_of,
)

EUR, GBP, AUD = PAIRS
DAYS = 65


@lru_cache(maxsize=8)
def market(pair: str, days: int = DAYS) -> Candles:
    """Return candles of the simulated market up to a while after NOW."""

    weeks = range(week_at(NOW - days * DAY_MS), week_at(NOW + 2 * EVAL_MS) + 1)
    whole = concatenate(week_of(DEFAULT_SEED, pair, week) for week in weeks)
    return whole.between(NOW - days * DAY_MS, NOW + 2 * EVAL_MS)


def equal_prices() -> Candles:
    ones = np.ones(market(GBP).size)
    return market(GBP)._replace(open=ones, high=ones, low=ones, close=ones)


def without_a_week() -> Candles:
    candles = market(GBP)
    return candles.take((candles.t < NOW - 11 * DAY_MS) | (candles.t > NOW - 4 * DAY_MS))


HISTORIES = {
    "empty": (empty, ["insufficient_history"]),
    "one candle": (lambda: market(GBP).closed_by(NOW).take(slice(-1, None)), ["insufficient_history"]),
    "a day": (lambda: market(GBP).between(NOW - DAY_MS, FOR_EVER), ["insufficient_history"]),
    "twenty days": (lambda: market(GBP).between(NOW - 20 * DAY_MS, FOR_EVER), ["insufficient_history"]),
    "a month without a week": (without_a_week, ["insufficient_history"]),
    "equal prices": (equal_prices, ["trades_below_floor", "calmar_below_floor", "recent_loss"]),
}


class Desk:
    """A desk over real back-tests, each instrument with candles of its own."""

    def __init__(self, histories: dict[str, Candles], **given: object) -> None:
        self.histories = histories
        self.settings: Settings = settings_of(**{"candle_hot_days": DAYS, **given})
        self.clock = HandClock()
        self.store = store_of(self.settings, self.clock)

    async def start(self) -> Desk:
        self.desk = await desk_of(self.settings, self.clock, self.store, ScriptedSource({}))
        for pair, candles in self.histories.items():
            series = self.desk.context.market.series[pair]
            series.add(candles)
            manifold.measure_series(series, "calibrated")
        return self

    async def slot(self, moment: int) -> GatesBlob:
        self.clock.moment = moment + LAG_MS
        await self.desk.evaluator.step(Due(moment, moment + LAG_MS))
        blob = await self.store.gates_blob()
        assert blob is not None
        return blob


def judged(reasons: list[str]) -> list[str]:
    """Return the reasons that come from the evaluation, not from the moment."""
    return [
        reason for reason in reasons if reason not in {"pattern_not_repeated", "manifold_missing", "manifold_stale"}
    ]


@pytest.fixture(scope="module")
def healthy() -> list[GatesBlob]:
    """Return the blobs of two slots in which every history is whole."""

    async def run() -> list[GatesBlob]:
        desk = await Desk({pair: market(pair) for pair in PAIRS}).start()
        return [await desk.slot(NOW), await desk.slot(NOW + EVAL_MS)]

    return anyio.run(run)


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_that_cannot_be_judged_has_its_reason_and_the_others_go_on(
    healthy: list[GatesBlob], name: str
) -> None:
    history, reasons = HISTORIES[name]

    async def run() -> None:
        desk = await Desk({EUR: market(EUR), GBP: history(), AUD: market(AUD)}).start()
        for slot, whole in zip((NOW, NOW + EVAL_MS), healthy, strict=True):
            blob = await desk.slot(slot)
            assert blob.gates[GBP] == 0
            assert judged(blob.reasons[GBP]) == reasons
            for pair in (EUR, AUD):
                assert (blob.gates[pair], blob.reasons[pair]) == (whole.gates[pair], whole.reasons[pair])
        state = await desk.store.gate_state(GBP)
        assert state is not None
        assert (state.passes, state.fails > 0) == (0, reasons != ["insufficient_history"])

    anyio.run(run)


def test_percentile_thresholds_without_thirty_days_enter_nothing_and_say_so() -> None:
    """Percentiles stand from the 31st day on: of 32 days, two can have entries."""
    short = {pair: market(pair).between(NOW - 32 * DAY_MS, FOR_EVER) for pair in PAIRS}

    async def run() -> None:
        desk = await Desk(short, auto_min_coherence="p99").start()
        blob = await desk.slot(NOW)
        summary = await desk.store.summary(EUR)
        assert summary is not None
        assert summary.summary["30"].trades < 8
        assert all("trades_below_floor" in blob.reasons[pair] for pair in PAIRS)
        guard = blob.guards[EUR]
        assert guard is not None

    anyio.run(run)


async def test_a_strategy_that_breaks_on_one_instrument_shuts_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = await Desk({pair: market(pair) for pair in PAIRS}).start()
    whole = Backtests.figures

    async def figures(self: Backtests, pair: str, *rest: object) -> object:
        if pair == GBP:
            raise ValueError("overflow")
        return await whole(self, pair, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Backtests, "figures", figures)
    blob = await desk.slot(NOW)
    assert judged(blob.reasons[GBP]) == ["evaluation_failed"]
    assert "evaluation_failed" not in blob.reasons[EUR] + blob.reasons[AUD]


async def test_a_clock_that_went_backwards_counts_nothing_twice() -> None:
    """A new process begins an hour before the last slot: it publishes what was known then, and steps no gate."""
    desk = await Desk({pair: market(pair) for pair in PAIRS}).start()
    for slot in (NOW - EVAL_MS, NOW):
        await desk.slot(slot)
    before = [await desk.store.gate_state(pair) for pair in PAIRS]
    key = "c0.55:l12:t2:ec60:xc60"
    kept = await desk.store.evaluation_points(EUR, key, 0, FOR_EVER)
    desk.clock.moment = NOW - 4 * EVAL_MS
    await desk.start()
    for slot in range(NOW - 4 * EVAL_MS, NOW + EVAL_MS, EVAL_MS):
        blob = await desk.slot(slot)
        assert blob.ts == slot
        assert [await desk.store.gate_state(pair) for pair in PAIRS] == before
    assert await desk.store.evaluation_points(EUR, key, 0, FOR_EVER) == kept
    await desk.slot(NOW + EVAL_MS)
    after = await desk.store.gate_state(EUR)
    assert after is not None
    assert after.last_slot == NOW + EVAL_MS
