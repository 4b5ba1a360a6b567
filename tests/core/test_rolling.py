"""A back-test that is carried on tells at every slot, to the last bit, what a run of its own would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core import backtest, manifold, rolling
from hotbandd.core.candle_files import read_candles
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles
from hotbandd.core.documents import Params
from hotbandd.core.rolling import Rolling
from hotbandd.core.series import MetricColumns, Series
from hotbandd.core.sessions import calendar
from hotbandd.core.setup import Setup
from hotbandd.core.spans import Figures
from hotbandd.core.thresholds import Guards
from kernels import ledger
from tests.core.test_backtest import MONDAY, walk

PAIR = "EUR_USD"
CALENDAR = calendar(enabled=True)
GUARDS = Guards(enforce=True, s_min=0.1, h_max=0.9, r_max=0.9, hazard_max=1.0)
SETUP = Setup(kernel="calibrated", guards=GUARDS, sessions=True, exit_minutes=5)
PARAMS = Params(c_min=0.2, direction_lookback=3, dir_threshold_bps=1.0)
SETS = [
    PARAMS,
    Params(c_min=0.0, direction_lookback=12, dir_threshold_bps=2.0, tp_bps=3.0, sl_bps=2.0),
    Params(c_min=0.5, direction_lookback=1, dir_threshold_bps=0.5, exit_cooldown_sec=0, entry_cooldown_sec=0),
    Params(c_min=0.3, direction_lookback=5, dir_threshold_bps=1.0, max_hold_min=5000, exit_cooldown_sec=90_000),
    Params(c_min=0.1, direction_lookback=40, dir_threshold_bps=4.0, strategy="fade", max_hold_min=1),
]


def series_of(candles: Candles, metrics: MetricColumns) -> Series:
    series = Series()
    grow(series, candles, metrics)
    return series


def grow(series: Series, candles: Candles, metrics: MetricColumns) -> None:
    series.add(candles)
    series.fill(metrics)


def anew(series: Series, moment_ms: int, setup: Setup, params: Params) -> Figures:
    """Run a back-test of its own on the candles closed by a moment."""
    candles, metrics = series.until(moment_ms)
    return backtest.evaluate(backtest.request_of(PAIR, candles, metrics, CALENDAR, setup, params)).figures


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(SETS),
    st.sampled_from([1, 1, 7]),
    st.lists(st.integers(0, 400), max_size=12),
    st.sampled_from([100, 999, 10_000]),
)
def test_any_growth_gives_the_figures_of_a_run_of_its_own(
    seed: int, params: Params, step_min: int, steps: list[int], most: int
) -> None:
    candles, metrics = walk(1500 + sum(steps), seed, step_min)
    gaps = np.random.default_rng(seed).random(candles.size) < 0.95
    candles, metrics = candles.take(gaps), MetricColumns(*(column[gaps] for column in metrics))
    at = candles.size - sum(steps)
    series = series_of(candles.take(slice(0, at)), metrics.take(slice(0, at)))
    carried = Rolling(PAIR, CALENDAR)
    for step in [0, *steps]:
        grow(series, candles.take(slice(at, at + step)), metrics.take(slice(at, at + step)))
        at += step
        moment = series.newest + MINUTE_MS
        while not carried.advance(series, moment, SETUP, params, most=most):
            pass
        assert carried.figures(series, moment, SETUP, params) == anew(series, moment, SETUP, params)


def test_a_history_is_taken_in_a_part_at_a_time() -> None:
    candles, metrics = walk(1500)
    looked_at: list[int] = []

    class Watched(Series):
        def take(self, index: slice) -> Candles:
            found = super().take(index)
            looked_at.append(found.size)
            return found

    series = Watched()
    grow(series, candles, metrics)
    carried, moment = Rolling(PAIR, CALENDAR), series.newest + MINUTE_MS
    parts = 0
    while not carried.advance(series, moment, SETUP, PARAMS, most=200):
        parts += 1
    carried.figures(series, moment, SETUP, PARAMS)
    assert parts == 7
    assert max(looked_at) < 400  # the part, and what its first candles look back on


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1300, 1900), st.sampled_from(SETS))
def test_no_figure_moves_with_the_future(seed: int, cut: int, params: Params) -> None:
    candles, metrics = walk(2000, seed)
    other, other_metrics = walk(2000, seed + 1)
    later = np.arange(2000) >= cut
    mixed = Candles(*(np.where(later, b, a) for a, b in zip(candles, other, strict=True)))
    mixed_metrics = MetricColumns(*(np.where(later, b, a) for a, b in zip(metrics, other_metrics, strict=True)))
    moment = int(candles.t[cut - 1]) + MINUTE_MS
    found = Rolling(PAIR, CALENDAR).figures(series_of(mixed, mixed_metrics), moment, SETUP, params)
    assert found == Rolling(PAIR, CALENDAR).figures(series_of(candles, metrics), moment, SETUP, params)


def test_months_of_slots_with_a_front_that_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ninety days and more, one slot a day: old possible trades are forgotten, and nothing changes."""
    monkeypatch.setattr(ledger, "_ROOM", 8)
    forgotten: list[int] = []
    whole = ledger.Ledger.forget

    def forget(self: ledger.Ledger, before_ms: int) -> None:
        before = self._settled
        whole(self, before_ms)
        forgotten.append(before - self._settled)

    monkeypatch.setattr(ledger.Ledger, "forget", forget)
    candles, metrics = walk(30_000, step_min=12)
    at, per_slot = 20_000, 137
    series = series_of(candles.take(slice(0, at)), metrics.take(slice(0, at)))
    carried = Rolling(PAIR, CALENDAR)
    seen = set()
    while at < candles.size:
        moment = series.newest + MINUTE_MS
        found = carried.figures(series, moment, SETUP, PARAMS)
        assert found == anew(series, moment, SETUP, PARAMS)
        seen.add(found.spans["60"].pnl_total)
        part = slice(at, at + per_slot)
        grow(series, candles.take(part), metrics.take(part))
        series.trim(series.newest - 95 * DAY_MS)
        at += per_slot
    assert len(seen) > 50
    assert sum(forgotten) > 100


def test_a_series_that_is_cut_within_the_run_is_told_as_it_is() -> None:
    candles, metrics = walk(4000)
    series = series_of(candles.take(slice(0, 3000)), metrics.take(slice(0, 3000)))
    carried = Rolling(PAIR, CALENDAR)
    params = replace_params(direction_lookback=40)
    for stop in range(3000, 4000, 50):
        part = slice(stop, stop + 50)
        grow(series, candles.take(part), metrics.take(part))
        series.trim(series.newest - DAY_MS)
        moment = series.newest + MINUTE_MS
        assert carried.figures(series, moment, SETUP, params) == anew(series, moment, SETUP, params)


def replace_params(**changed: Any) -> Params:
    return Params(**{"c_min": 0.2, "direction_lookback": 3, "dir_threshold_bps": 1.0} | changed)


@pytest.mark.parametrize("back", [0, 1, 2, 200, 2800])
def test_a_corrected_candle_begins_the_run_anew(back: int) -> None:
    series = series_of(*walk(3700))  # up to the afternoon of London
    carried = Rolling(PAIR, CALENDAR)
    moment = series.newest + MINUTE_MS
    before = carried.figures(series, moment, SETUP, PARAMS)
    at = series.size - 1 - back
    wrong = series.candles.take(slice(at, at + 1))
    metrics = series.metrics.take(slice(at, None))
    series.add(wrong._replace(high=wrong.high * 1.5, close=wrong.close * 1.4))
    series.fill(metrics)
    after = carried.figures(series, moment, SETUP, PARAMS)
    assert after == anew(series, moment, SETUP, PARAMS)
    assert back < 200 or after != before


def test_a_slot_before_the_last_one_is_told_as_it_was() -> None:
    series = series_of(*walk(3000))
    carried = Rolling(PAIR, CALENDAR)
    moment = series.newest + MINUTE_MS
    for earlier in (0, 15, 700, 30, 0):
        at = moment - earlier * MINUTE_MS
        assert carried.figures(series, at, SETUP, PARAMS) == anew(series, at, SETUP, PARAMS)


def test_other_parameters_guards_and_costs_count_at_once() -> None:
    series = series_of(*walk(3000))
    carried = Rolling(PAIR, CALENDAR)
    moment = series.newest + MINUTE_MS
    seen = []
    for setup, params in (
        (SETUP, PARAMS),
        (SETUP, replace_params(c_min=0.4)),
        (replace(SETUP, guards=replace(GUARDS, s_min=0.6)), PARAMS),
        (replace(SETUP, exit_minutes=60), PARAMS),
        (replace(SETUP, costs={PAIR: 9.0}), PARAMS),
    ):
        found = carried.figures(series, moment, setup, params)
        assert found == anew(series, moment, setup, params)
        seen.append(found)
    assert all(one != seen[0] for one in seen[1:])


def test_candles_count_once_they_are_measured() -> None:
    candles, metrics = walk(3000)
    series = series_of(candles.take(slice(0, 2900)), metrics.take(slice(0, 2900)))
    carried = Rolling(PAIR, CALENDAR)
    measured = series.newest + MINUTE_MS
    before = carried.figures(series, measured, SETUP, PARAMS)
    series.add(candles.take(slice(2900, None)))
    moment = series.newest + MINUTE_MS
    assert carried.figures(series, moment, SETUP, PARAMS) == before
    series.fill(metrics.take(slice(2900, None)))
    assert carried.figures(series, moment, SETUP, PARAMS) == anew(series, moment, SETUP, PARAMS)


def test_what_cannot_be_carried_on_is_refused() -> None:
    carried = Rolling(PAIR, CALENDAR)
    with pytest.raises(ValueError, match="cannot be carried on"):
        carried.figures(Series(), MONDAY, SETUP, PARAMS)
    with pytest.raises(ValueError, match="cannot be carried on"):
        carried.figures(series_of(*walk(200)), MONDAY + DAY_MS, SETUP, replace_params(strategy="theirs"))


@pytest.mark.parametrize(
    ("setup", "params", "carried"),
    [
        (SETUP, PARAMS, True),
        (SETUP, replace_params(strategy="fade"), True),
        (SETUP, replace_params(strategy="theirs"), False),
        (SETUP, replace_params(c_min="p80"), False),
        (replace(SETUP, guards=replace(GUARDS, r_max="p50")), PARAMS, False),
        (replace(SETUP, guards=replace(GUARDS, r_max="p50", enforce=False)), PARAMS, True),
    ],
)
def test_percentiles_and_rules_found_elsewhere_are_not_carried_on(setup: Setup, params: Params, carried: bool) -> None:
    assert rolling.carries(setup, params) is carried


@pytest.mark.shared_data
@pytest.mark.parametrize("params", [SETS[1], PARAMS, Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0)])
def test_real_slots_are_those_of_runs_of_their_own(shared_data: Path, params: Params) -> None:
    series = measured(shared_data, "EUR_USD")
    whole, metrics = series.candles, series.metrics
    at = 120_000
    growing = series_of(whole.take(slice(0, at)), metrics.take(slice(0, at)))
    carried = Rolling(PAIR, CALENDAR)
    guards = replace(GUARDS, s_min=0.4, h_max=0.7, r_max=0.6)
    setup = replace(SETUP, guards=guards)
    for stop in range(at, at + 1500, 15):
        grow(growing, whole.take(slice(stop, stop + 15)), metrics.take(slice(stop, stop + 15)))
        growing.trim(growing.newest - 95 * DAY_MS)
        moment = growing.newest + MINUTE_MS
        assert carried.figures(growing, moment, setup, params) == anew(growing, moment, setup, params)


def measured(shared_data: Path, pair: str) -> Series:
    file = shared_data / "candles" / "dev" / f"{pair}_M1.csv.gz"
    series = Series()
    series.add(read_candles(file.read_bytes(), file.name).candles)
    manifold.measure_series(series, "calibrated")
    return series
