"""A series whose older days are packed answers as one whose days are not, to the last bit."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core import backtest, manifold, rolling
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, of_columns
from hotbandd.core.entry_bounds import EntryBounds
from hotbandd.core.rolling import Rolling
from hotbandd.core.series import UNPACKED, MetricColumns, Series
from tests.core.test_rolling import CALENDAR, PAIR, PARAMS, SETS, SETUP

BEGINS = 19_723 * DAY_MS  # a Monday
FAMILIES = ("calibrated", "native")


def market(days: int, *, seed: int = 1, kept: float = 0.97) -> Candles:
    """Days of a market that is shut at weekends, with some minutes left out."""
    draw = np.random.default_rng(seed)
    t = BEGINS + np.arange(days * 1440, dtype=np.int64) * MINUTE_MS
    t = t[(t // DAY_MS % 7 != 2) & (t // DAY_MS % 7 != 3) & (draw.random(len(t)) < kept)]
    close = np.round(1.1 + np.cumsum(draw.normal(0, 8e-5, len(t))), 5)
    before = np.concatenate((close[:1], close[:-1]))
    high, low = np.round(np.maximum(close, before) + 3e-5, 5), np.round(np.minimum(close, before) - 2e-5, 5)
    volume = draw.poisson(50, len(t)).astype(float)
    return of_columns(t, before, high, low, close, volume, np.round(close - 5e-5, 5), np.round(close + 5e-5, 5))


def packed(series: Series) -> int:
    days = 0
    while series.pack():
        days += 1
    series.tighten()
    return days


def pair_of(candles: Candles, family: manifold.Family = "calibrated", unpacked: int = 500) -> tuple[Series, Series]:
    """A series that is packed, and one that is not."""
    plain, small = Series(), Series(unpacked)
    for series in (plain, small):
        series.add(candles)
        manifold.measure_series(series, family)
    assert packed(small)
    return plain, small


def same(ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...]) -> bool:
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_bit_comes_back(family: manifold.Family) -> None:
    plain, small = pair_of(market(9), family)
    assert same(small.candles, plain.candles)
    assert same(small.metrics, plain.metrics)
    assert (small.size, small.measured, small.newest) == (plain.size, plain.measured, plain.newest)


@given(st.data())
@settings(max_examples=60)
def test_any_part_and_any_place_is_the_same(data: st.DataObject) -> None:
    plain, small = BOTH
    index = st.integers(-plain.size - 3, plain.size + 3)
    part = slice(data.draw(st.none() | index), data.draw(st.none() | index))
    assert same(small.take(part), plain.take(part))
    assert same(small.measures(part), plain.measures(part))
    moment = data.draw(st.integers(int(plain.candles.t[0]) - DAY_MS, plain.newest + DAY_MS))
    since = data.draw(st.integers(0, plain.newest + DAY_MS))
    for side in ("left", "right"):
        assert small.rank(moment, side) == np.searchsorted(plain.candles.t, moment, side)
    assert small.span(moment, since) == plain.span(moment, since)
    assert same(small.until(moment, since)[0], plain.until(moment, since)[0])
    assert small.measured_by(moment) == plain.measured_by(moment)
    ours, theirs = small.recent(moment, 3000), plain.recent(moment, 3000)
    assert ours[0].tolist() == theirs[0].tolist()
    assert same(ours[1], theirs[1])


BOTH = pair_of(market(12))


@pytest.mark.parametrize("days", [0, 1, 1.3, 4, 6.5, 20])
def test_it_is_trimmed_to_the_minute(days: float) -> None:
    both = pair_of(market(12))
    for series in both:
        series.trim(BEGINS + round(days * DAY_MS) + 1)
    plain, small = both
    assert same(small.candles, plain.candles)
    assert same(small.metrics, plain.metrics)
    assert small.measured == plain.measured
    if small.size:
        assert small.opened(0) == plain.opened(0)
    more = market(14).between(BEGINS + 12 * DAY_MS, BEGINS + 14 * DAY_MS)
    for series in both:
        series.add(more)
        manifold.measure_series(series, "calibrated")
    packed(small)
    assert same(small.candles, plain.candles)
    assert same(small.metrics, plain.metrics)


def test_what_was_trimmed_is_not_held() -> None:
    _, small = pair_of(market(12))
    before = small.nbytes
    small.trim(BEGINS + 7 * DAY_MS)
    assert small.nbytes < before - 4 * 1440 * 25


@pytest.mark.parametrize("at", [0, 700, 3000, -1])
def test_a_late_correction_is_taken_wherever_it_is(at: int) -> None:
    both = pair_of(market(12))
    one = both[0].candles.take(np.array([at]))
    for series in both:
        assert series.add(one).size == 0
        assert series.revision == 0
        corrected = one._replace(close=one.open, bid=one.bid * np.nan)
        assert series.add(corrected).size == 1
        assert series.revision == 1
        manifold.measure_series(series, "calibrated")
    plain, small = both
    packed(small)
    assert same(small.candles, plain.candles)
    assert same(small.metrics, plain.metrics)


def test_older_and_missing_candles_are_taken_behind_and_between() -> None:
    whole = market(12)
    late = np.arange(whole.size) % 701 == 0
    late[:2000] = True
    both = pair_of(whole.take(~late))
    for series in both:
        assert series.add(whole.take(late)).size == late.sum()
        manifold.measure_series(series, "calibrated")
    plain, small = both
    packed(small)
    assert same(small.candles, whole)
    assert same(small.metrics, plain.metrics)


def test_what_is_not_measured_yet_or_is_new_is_not_packed() -> None:
    series, candles = Series(unpacked=2000), market(12)
    series.add(candles)
    assert packed(series) == 0
    series.fill(MetricColumns(*(np.full(3000, 0.5) for _ in MetricColumns._fields)))
    assert packed(series) == 2
    manifold.measure_series(series, "calibrated")
    packed(series)
    view = series.take(slice(series.size - 2000, None))
    assert np.shares_memory(view.close, series.take(slice(series.size - 1, None)).close)


def test_candles_off_the_minute_stay_as_they_are() -> None:
    series, candles = Series(unpacked=100), market(5)
    series.add(candles._replace(t=candles.t + 1))
    manifold.measure_series(series, "calibrated")
    assert packed(series) == 0


@settings(max_examples=8)
@given(st.sampled_from(SETS), st.booleans(), st.integers(0, 2**32))
def test_carried_back_tests_tell_the_same(params: object, from_spread: bool, seed: int) -> None:
    candles = market(30, seed=seed)
    setup = SETUP.__class__(**{**SETUP.__dict__, "cost_from_spread": from_spread})
    plain, small = Series(), Series(unpacked=500)
    runs = Rolling(PAIR, CALENDAR), Rolling(PAIR, CALENDAR)
    for first in range(0, candles.size, 2500):
        found = []
        for series, carried in zip((plain, small), runs, strict=True):
            series.add(candles.take(slice(first, first + 2500)))
            manifold.measure_series(series, "calibrated")
            packed(small)
            since = series.newest - 20 * DAY_MS
            found.append(carried.figures(series, series.newest + MINUTE_MS, setup, params, since))
        assert found[0] == found[1]


def test_a_slot_looks_at_no_packed_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a slot costs does not grow with the history."""
    whole = market(20)
    series, carried = Series(unpacked=UNPACKED), Rolling(PAIR, CALENDAR)
    series.add(whole.take(slice(0, -30)))
    manifold.measure_series(series, "calibrated")
    carried.figures(series, series.newest + MINUTE_MS, SETUP, PARAMS)
    assert packed(series) > 5

    def unpack(*_: object) -> None:
        raise AssertionError("a packed day was looked at")

    monkeypatch.setattr("hotbandd.core.packed_day.unpack", unpack)
    monkeypatch.setattr("hotbandd.core.cold._unpacked", unpack)
    series.add(whole.take(slice(-30, -15)))
    manifold.measure_series(series, "calibrated")
    carried.figures(series, series.newest + MINUTE_MS, SETUP, PARAMS)
    moment = series.newest + MINUTE_MS
    series.recent(moment, 1440 + 15)
    series.measured_by(moment)
    bounds = EntryBounds(0.5, 0.4, 0.7, 0.6, 1.0)
    bounds.at_newest(*bounds.newest_of(series, series.span(moment).stop))
    series.trim(BEGINS + 3 * DAY_MS)
    series.add(whole.take(slice(-20, None)))


@pytest.mark.parametrize("spec", ["p10", "p90", 0.3])
def test_percentiles_are_those_of_the_whole_past(spec: str | float) -> None:
    plain, small = pair_of(market(50))
    bounds = EntryBounds(spec, spec, spec, spec, spec)
    for stop in (0, 1, 2000, 30_000, plain.size - 700, plain.size):
        expected = bounds.at_newest(plain.candles.t[:stop], plain.metrics.take(slice(0, stop)))
        found = bounds.at_newest(*bounds.newest_of(small, stop))
        np.testing.assert_array_equal(astuple(found), astuple(expected))


def test_a_quarter_takes_less_than_four_megabytes() -> None:
    series = Series()
    series.add(market(90, kept=1.0))
    manifold.measure_series(series, "calibrated")
    before = series.nbytes
    packed(series)
    assert before > 10e6
    assert series.nbytes < 4e6


def test_a_run_of_its_own_over_packed_days_is_the_same() -> None:
    plain, small = pair_of(market(20))
    moment = plain.newest + MINUTE_MS
    found = [
        backtest.evaluate(backtest.request_of(PAIR, *series.until(moment), CALENDAR, SETUP, PARAMS)).figures
        for series in (plain, small)
    ]
    assert found[0] == found[1]
    assert rolling.carries(SETUP, PARAMS)
