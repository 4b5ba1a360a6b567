from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core import backtest, manifold, strategy
from hotbandd.core.backtest import RUN_DAYS, Request, evaluate, trade_rows
from hotbandd.core.candle_files import read_candles
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Floats, of_columns
from hotbandd.core.documents import Params
from hotbandd.core.series import MetricColumns, Series, unmeasured
from hotbandd.core.sessions import calendar
from hotbandd.core.setup import Setup
from hotbandd.core.spans import SPANS
from hotbandd.core.strategy import Sides
from hotbandd.core.thresholds import Guards
from hotbandd.errors import UsageError
from kernels.backtest import REASONS, Bars, Rules, Signals, Trades
from tests.kernels import naive_backtest

PARAMS = Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0)
OPEN = Guards(enforce=False, s_min=0.4, h_max=0.7, r_max=0.6, hazard_max=1.0)
ENFORCED = replace(OPEN, enforce=True)
SETUP = Setup(kernel="calibrated", guards=ENFORCED, sessions=True, exit_minutes=5)
MONDAY = 1_704_672_000_000  # 2024-01-08, midnight UTC


def walk(n: int, seed: int = 0, step_min: int = 1) -> tuple[Candles, MetricColumns]:
    """A market that drifts for an hour at a time, with metrics drawn at random."""
    random = np.random.default_rng(seed)
    drift = np.repeat(random.choice([-0.5, 0.5], n // 60 + 1), 60)[:n]
    close = np.exp(np.cumsum(random.standard_normal(n) + drift) * 1e-4)
    opened = np.concatenate((np.ones(min(n, 1)), close[:-1]))
    spread = np.abs(random.standard_normal(n)) * 5e-5
    high, low = np.maximum(opened, close) + spread, np.minimum(opened, close) - spread
    t = MONDAY + np.arange(n, dtype=np.int64) * step_min * MINUTE_MS
    metrics = MetricColumns(*random.random((len(MetricColumns._fields), n)))
    return of_columns(t, opened, high, low, close, np.ones(n)), metrics


def request_on(candles: Candles, metrics: MetricColumns, **changed: Any) -> Request:
    request = Request(
        candles=candles,
        metrics=metrics,
        leave=np.zeros(candles.size, dtype=np.bool_),
        params=PARAMS,
        guards=OPEN,
        cost_bps=2.0,
        coverage=dict.fromkeys(SPANS, 1.0),
    )
    return replace(request, **changed)


def naive_trades(request: Request) -> list[dict[str, Any]]:
    """Decide candle by candle, in words, and walk the twin over it."""
    candles, metrics, params = request.candles, request.metrics, request.params
    sides = strategy.direction(params.strategy, candles.close, metrics, params, request.rules)
    entry = np.zeros(candles.size, dtype=np.int8)
    start = int(candles.t[-1]) + MINUTE_MS - request.days * DAY_MS if candles.size else 0
    guards = request.guards
    c, s, h, r, hazard = (column.tolist() for column in metrics)
    for i, opened in enumerate(candles.t.tolist()):
        guarded = not guards.enforce or (
            s[i] >= guards.s_min and h[i] <= guards.h_max and r[i] <= guards.r_max and hazard[i] <= guards.hazard_max
        )
        if opened >= start and c[i] >= params.c_min and guarded and not request.leave[i]:
            entry[i] = sides[i]
    off = float("inf")
    rules = Rules(
        params.entry_cooldown_sec * 1000,
        params.exit_cooldown_sec * 1000,
        params.max_hold_min * MINUTE_MS,
        off if params.tp_bps is None else params.tp_bps / 10_000,
        off if params.sl_bps is None else params.sl_bps / 10_000,
        request.cost_bps / 10_000,
    )
    bars = Bars(candles.t, candles.open, candles.high, candles.low, candles.close)
    return naive_backtest.run(bars, Signals(entry, sides, request.leave), rules)


def rows(trades: Trades) -> list[dict[str, Any]]:
    columns = zip(*(column.tolist() for column in trades), strict=True)
    listed = [dict(zip(Trades._fields, values, strict=True)) for values in columns]
    return [row | {"reason": REASONS[row["reason"]]} for row in listed]


# ---- the run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"guards": ENFORCED},
        {"days": 3, "coverage": {3: 1.0}},
        {"params": Params(c_min=0.1, direction_lookback=3, dir_threshold_bps=1.0, tp_bps=4.0, sl_bps=6.0)},
        {"params": Params(c_min=0.3, direction_lookback=30, dir_threshold_bps=0.5, strategy="fade", max_hold_min=20)},
    ],
)
def test_the_run_is_that_of_the_twin(changed: dict[str, Any]) -> None:
    request = request_on(*walk(8000), **changed)
    random = np.random.default_rng(1)
    closed = np.repeat(random.random(80) < 0.4, 100)
    request = replace(request, leave=closed | np.roll(closed, -5))
    found = rows(backtest.trades_of(request))
    assert len(found) > 5
    assert found == naive_trades(request)


def test_entries_are_decided_from_the_start_of_the_run_on() -> None:
    candles, metrics = walk(6000)
    request = request_on(candles, metrics, days=2, coverage={2: 1.0})
    result = evaluate(request)
    decided = candles.t[result.trades.entry_index - 1]
    assert result.end_ms == candles.t[-1] + MINUTE_MS
    assert result.start_ms == result.end_ms - 2 * DAY_MS
    assert decided.min() >= result.start_ms
    whole = evaluate(replace(request, days=4, coverage={4: 1.0}))
    assert whole.trades.size > result.trades.size


@settings(max_examples=30, deadline=None)
@given(st.integers(200, 1500), st.integers(0, 100), st.data())
def test_no_past_trade_moves_with_the_future(n: int, seed: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, n))
    candles, metrics = walk(n, seed)
    others, other_metrics = walk(n, seed + 1)
    later = np.arange(n) >= cut

    def spliced(ours: Any, theirs: Any) -> Any:
        return [np.where(later, b, a) for a, b in zip(ours, theirs, strict=True)]

    before = request_on(candles, metrics)
    after = request_on(Candles(*spliced(candles, others)), MetricColumns(*spliced(metrics, other_metrics)))
    past = [row for row in rows(backtest.trades_of(before)) if row["exit_index"] < cut]
    assert past == [row for row in rows(backtest.trades_of(after)) if row["exit_index"] < cut]


def test_a_percentile_threshold_enters_nothing_for_its_first_thirty_days() -> None:
    candles, metrics = walk(10_000, step_min=5)
    params = Params(c_min="p50", direction_lookback=3, dir_threshold_bps=1.0)
    entered = evaluate(request_on(candles, metrics, params=params)).trades.entry_ms
    first_known = MONDAY + MINUTE_MS  # so that the next midnight is the first with 30 days behind it
    assert first_known + 30 * DAY_MS < entered.min() < MONDAY + 32 * DAY_MS


def test_the_rules_of_a_request_reach_beyond_the_built_in_ones() -> None:
    def always_long(closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
        return np.ones(len(closes), dtype=np.int8)

    params = Params(c_min=0.0, direction_lookback=1, dir_threshold_bps=0.0, strategy="always_long")
    request = request_on(*walk(1000), params=params)
    with pytest.raises(UsageError, match="no strategy 'always_long'"):
        evaluate(request)
    trades = evaluate(replace(request, rules=strategy.accept({"always_long": always_long}))).trades
    assert set(trades.side.tolist()) == {1}


def test_a_request_and_its_result_travel_between_processes() -> None:
    request = pickle.loads(pickle.dumps(request_on(*walk(3000))))
    result = evaluate(request)
    again = pickle.loads(pickle.dumps(result))
    assert rows(again.trades) == rows(result.trades)
    assert again.figures.spans == result.figures.spans


# ---- the spans ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quarter() -> Request:
    return request_on(*walk(26_000, step_min=5), params=Params(c_min=0.2, direction_lookback=3, dir_threshold_bps=1.0))


def test_the_spans_are_slices_of_one_run_by_entry_time(quarter: Request) -> None:
    result = evaluate(quarter)
    assert list(result.figures.spans) == ["14", "30", "60"]
    for days, span in result.figures.spans.items():
        inside = result.trades.entry_ms >= result.end_ms - int(days) * DAY_MS
        assert span.trades == inside.sum() > 0
        assert span.pnl_total == pytest.approx(result.trades.ret[inside].sum())
        assert span.win_rate == pytest.approx((result.trades.ret[inside] > 0).mean())
    assert result.figures.spans["60"].trades < result.trades.size
    assert result.figures.integrity


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 6000), st.integers(0, 50), st.sampled_from([5, 30]))
def test_the_slices_nest(n: int, seed: int, step_min: int) -> None:
    result = evaluate(request_on(*walk(n, seed, step_min)))
    counts = [result.figures.spans[str(days)].trades for days in SPANS]
    assert counts == sorted(counts)
    assert counts[-1] <= result.trades.size
    assert result.figures.integrity


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_candles_give_empty_spans(n: int) -> None:
    candles, _ = walk(n)
    result = evaluate(request_on(candles, unmeasured(n), coverage=dict.fromkeys(SPANS, 0.0)))
    assert result.trades.size == 0
    assert {span.trades for span in result.figures.spans.values()} == {0}
    assert {span.calmar for span in result.figures.spans.values()} == {0.0}
    assert set(result.figures.sufficient.values()) == {False}
    assert result.figures.integrity
    assert trade_rows(result) == []


def test_a_dead_market_trades_nothing() -> None:
    candles, metrics = walk(5000)
    ones = np.ones(candles.size)
    dead = of_columns(candles.t, ones, ones, ones, ones, ones)
    assert evaluate(request_on(dead, metrics)).trades.size == 0


def test_a_span_longer_than_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than the run of 30 days"):
        request_on(*walk(10), days=30)


def test_a_row_tells_a_trade_in_words(quarter: Request) -> None:
    result = evaluate(quarter)
    listed = trade_rows(result)
    assert len(listed) == result.trades.size
    assert list(listed[0]) == ["side", "entry_ms", "exit_ms", "entry", "exit", "ret", "reason", "mae", "mfe"]
    assert {row["side"] for row in listed} == {"long", "short"}
    assert {row["reason"] for row in listed} <= set(REASONS)
    for row in listed:
        side = 1 if row["side"] == "long" else -1
        assert row["ret"] == pytest.approx(side * np.log(row["exit"] / row["entry"]) - 2e-4)


# ---- with sessions, on real candles -----------------------------------------------------------------------------------


def test_a_gathered_request_covers_a_full_feed_and_keeps_out_of_closed_sessions() -> None:
    candles, metrics = walk(100 * 1440)
    sessions = calendar(enabled=True)
    week = sessions.week_openings(int(candles.t[0]), int(candles.t[-1]))
    inside = np.searchsorted(week[:, 0], candles.t, side="right") > np.searchsorted(week[:, 1], candles.t, side="right")
    candles, metrics = candles.take(inside), MetricColumns(*(column[inside] for column in metrics))
    request = backtest.request_of("EUR_USD", candles, metrics, sessions, SETUP, PARAMS)
    result = evaluate(request)
    assert (request.days, request.cost_bps, list(result.figures.spans)) == (RUN_DAYS, 2.2, ["14", "30", "60"])
    assert all(span.coverage == pytest.approx(1.0, abs=1e-3) for span in result.figures.spans.values())
    assert all(sessions.is_open("EUR_USD", row["entry_ms"]) for row in trade_rows(result))
    assert "session" in {row["reason"] for row in trade_rows(result)}


def test_a_feed_with_a_hole_of_a_week_is_insufficient_for_its_short_span_only() -> None:
    candles, metrics = walk(80 * 1440)
    hole = (candles.t > candles.t[-1] - 10 * DAY_MS) & (candles.t < candles.t[-1] - 3 * DAY_MS)
    candles, metrics = candles.take(~hole), MetricColumns(*(column[~hole] for column in metrics))
    request = backtest.request_of("EUR_USD", candles, metrics, calendar(enabled=True), SETUP, PARAMS)
    assert evaluate(request).figures.sufficient == {"14": False, "30": False, "60": True}


Market = tuple[Candles, MetricColumns]


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Callable[[str], Market]:
    def load(path: str) -> Market:
        file = shared_data / "candles" / path
        series = Series()
        series.add(read_candles(file.read_bytes(), file.name).candles)
        manifold.measure_series(series, "calibrated")
        return series.candles, series.metrics

    return load


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("instrument", "path"), [("EUR_USD", "dev/EUR_USD_M1.csv.gz"), ("USD_JPY", "jpy/USD_JPY_M1.csv.gz")]
)
@pytest.mark.parametrize(
    "params",
    [
        PARAMS,
        Params(c_min=0.0, direction_lookback=5, dir_threshold_bps=0.5, tp_bps=5.0, sl_bps=5.0),
        Params(c_min=0.3, direction_lookback=12, dir_threshold_bps=1.0, strategy="fade", max_hold_min=30, sl_bps=10.0),
    ],
)
def test_the_run_over_real_candles_is_that_of_the_twin(
    real: Callable[[str], Market], instrument: str, path: str, params: Params
) -> None:
    candles, metrics = real(path)
    request = backtest.request_of(instrument, candles, metrics, calendar(enabled=True), SETUP, params)
    result = evaluate(request)
    assert result.trades.size > 10
    assert rows(result.trades) == naive_trades(request)
    assert result.figures.integrity
