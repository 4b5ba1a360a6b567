"""What the demonstration is there to show, judged by the real kernels, back-test and calendar."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from hotbandd.adapters.simulator import DEFAULT_SEED, DEMO_START_MS, Regime, describe
from hotbandd.adapters.simulator.market import week_of
from hotbandd.adapters.simulator.weeks import week_at
from hotbandd.core.backtest import Request, evaluate
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, concatenate
from hotbandd.core.documents import Params, SpanSummary
from hotbandd.core.series import MetricColumns
from hotbandd.core.sessions import Calendar
from hotbandd.core.sessions import calendar as sessions
from hotbandd.core.setup import cost_bps
from hotbandd.core.spans import coverage
from hotbandd.core.thresholds import Guards
from kernels.structure import measure
from tests.adapters.test_simulator import PAIRS

HISTORY_MS = 95 * DAY_MS
LATER_MS = DEMO_START_MS + 4 * 60 * MINUTE_MS
PARAMS = Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0)
GUARDS = Guards(enforce=True, s_min=0.40, h_max=0.70, r_max=0.60, hazard_max=1.0)
Spans = Mapping[str, SpanSummary]


def spans_at(instrument: str, at_ms: int, calendar: Calendar) -> Spans:
    weeks = range(week_at(at_ms - HISTORY_MS), week_at(at_ms) + 1)
    market = concatenate(week_of(DEFAULT_SEED, instrument, week) for week in weeks)
    candles = market.between(at_ms - HISTORY_MS, at_ms).closed_by(at_ms)
    end = int(candles.t[-1]) + MINUTE_MS
    request = Request(
        candles=candles,
        metrics=metrics_of(candles),
        leave=calendar.masks(instrument, candles.t + MINUTE_MS, 5).exit,
        params=PARAMS,
        guards=GUARDS,
        cost_bps=cost_bps(instrument, {}),
        coverage=coverage(instrument, candles.t, end, (14, 30), calendar),
    )
    figures = evaluate(request).figures
    assert all(figures.sufficient.values())
    return figures.spans


def metrics_of(candles: Candles) -> MetricColumns:
    measured = measure("calibrated", candles.close, candles.high, candles.low, candles.volume)
    blank = candles.size - len(measured.coherence)
    columns = [np.concatenate((np.full(blank, np.nan), column)) for column in measured]
    columns.append(np.zeros(candles.size))  # no bound is set on the hazard
    return MetricColumns(*columns)


def earns(spans: Spans) -> bool:
    month, fortnight = spans["30"], spans["14"]
    return month.trades >= 9 and month.calmar >= 0.2 and month.pnl_total > 0 and fortnight.pnl_total > 0


def fails(spans: Spans) -> bool:
    return spans["30"].pnl_total < 0 or spans["30"].trades < 7 or spans["14"].calmar < -0.15


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return sessions(enabled=True)


@pytest.fixture(scope="module")
def at_start(calendar: Calendar) -> Mapping[str, Spans]:
    return {pair: spans_at(pair, DEMO_START_MS, calendar) for pair in PAIRS}


def test_all_pairs_are_open_at_the_start(calendar: Calendar) -> None:
    assert all(calendar.is_open(pair, DEMO_START_MS) for pair in PAIRS)


def test_at_the_start_at_least_four_pairs_earn_and_two_or_three_do_not(at_start: Mapping[str, Spans]) -> None:
    assert sum(earns(spans) for spans in at_start.values()) >= 4
    assert 2 <= sum(fails(spans) for spans in at_start.values()) <= 3


def test_soon_after_the_start_a_pair_that_earned_fails(at_start: Mapping[str, Spans], calendar: Calendar) -> None:
    turned = [pair for pair in PAIRS if earns(at_start[pair]) and fails(spans_at(pair, LATER_MS, calendar))]
    assert turned


def test_the_start_shows_every_regime() -> None:
    assert {describe(pair, DEMO_START_MS) for pair in PAIRS} == set(Regime)


def test_trending_earns_after_cost_and_reverting_loses(calendar: Calendar) -> None:
    by_regime: dict[Regime, list[float]] = {kind: [] for kind in Regime}
    for pair in ("EUR_USD", "USD_JPY", "NZD_USD"):
        for kind, rets in trades_by_regime(pair, calendar).items():
            by_regime[kind] += rets
    assert np.mean(by_regime[Regime.TRENDING]) > 2e-4
    assert len(by_regime[Regime.TRENDING]) > 100
    assert np.mean(by_regime[Regime.REVERTING]) < -2e-4
    assert len(by_regime[Regime.DEAD]) < 0.05 * len(by_regime[Regime.TRENDING])


def trades_by_regime(instrument: str, calendar: Calendar) -> dict[Regime, list[float]]:
    candles = concatenate(week_of(DEFAULT_SEED, instrument, week) for week in range(12))
    leave = calendar.masks(instrument, candles.t + MINUTE_MS, 5).exit
    cost = cost_bps(instrument, {})
    trades = evaluate(Request(candles, metrics_of(candles), leave, PARAMS, GUARDS, cost, coverage={})).trades
    found: dict[Regime, list[float]] = {kind: [] for kind in Regime}
    for entry_ms, ret in zip(trades.entry_ms.tolist(), trades.ret.tolist(), strict=True):
        found[describe(instrument, entry_ms)].append(ret)
    return found
