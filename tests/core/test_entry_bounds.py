from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, of_columns
from hotbandd.core.entry_bounds import DailyBounds, EntryBounds
from hotbandd.core.series import MetricColumns, Series
from hotbandd.core.thresholds import threshold

MIDNIGHT = 1_718_755_200_000


def market(seed, first, last, every=7, blank=18):
    """Candles every few minutes from one moment up to another; no window ends in the first ones."""
    t = np.arange(first, last, every * MINUTE_MS, dtype=np.int64)
    draw = np.random.default_rng(seed)
    metrics = MetricColumns(*draw.random((5, len(t))))
    for column in metrics:
        column[:blank] = np.nan
    return t, metrics


def bounds(c="p70", s="p30", h="p62.5", r="p100", hazard="p0"):
    return EntryBounds(c_min=c, s_min=s, h_max=h, r_max=r, hazard_max=hazard)


@given(st.integers(0, 5), st.integers(29 * 1440 - 30, 33 * 1440), st.integers(-20, 1500), st.integers(0, 300))
@example(0, 33 * 1440, 0, 0)
@settings(max_examples=60, deadline=None)
def test_percentiles_are_those_that_entries_are_judged_by(seed, age_minutes, past_midnight, blank):
    last = MIDNIGHT + past_midnight * MINUTE_MS
    t, metrics = market(seed, last - age_minutes * MINUTE_MS, last, blank=blank)
    found = bounds().at_newest(t, metrics)
    specs = ("p70", "p30", "p62.5", "p100", "p0")
    expected = [float(threshold(spec, t, values)[-1]) for spec, values in zip(specs, metrics, strict=True)]
    ours = [found.c_min, found.s_min, found.h_max, found.r_max, found.hazard_max]
    assert np.array_equal(ours, expected, equal_nan=True)


@pytest.mark.parametrize("past_midnight", [-MINUTE_MS, 0, MINUTE_MS])
def test_the_day_turns_with_the_close_of_the_newest_candle(past_midnight):
    t, metrics = market(1, MIDNIGHT - 33 * DAY_MS, MIDNIGHT + past_midnight, every=1)
    assert bounds().at_newest(t, metrics).c_min == threshold("p70", t, metrics.coherence)[-1]


def test_numbers_stand_as_they_are_whatever_is_known():
    t, metrics = market(1, MIDNIGHT - DAY_MS, MIDNIGHT)
    found = bounds(0.55, 0.4, 0.7, 0.6, 1.0).at_newest(t, metrics)
    assert (found.c_min, found.s_min, found.h_max, found.r_max, found.hazard_max) == (0.55, 0.4, 0.7, 0.6, 1.0)


def test_percentiles_of_too_short_a_past_are_unknown():
    t, metrics = market(1, MIDNIGHT - 29 * DAY_MS, MIDNIGHT + 600 * MINUTE_MS)
    assert math.isnan(bounds().at_newest(t, metrics).c_min)
    nothing = MetricColumns(*(np.empty(0) for _ in MetricColumns._fields))
    assert math.isnan(bounds().at_newest(np.empty(0, np.int64), nothing).c_min)


# ---- once a day -----------------------------------------------------------------------------------------------------


class Watched(Series):
    """A series that counts the metrics that are looked at."""

    looked_at = 0

    def measures(self, index: slice) -> MetricColumns:
        found = super().measures(index)
        self.looked_at += found.size
        return found


def candles_of(t: np.ndarray) -> Candles:
    price = np.full(len(t), 1.1)
    return of_columns(t, price, price, price, price, price)


def grown(first: int, last: int) -> Watched:
    series = Watched()
    t, metrics = market(1, first, last)
    series.add(candles_of(t))
    series.fill(metrics)
    return series


def extend(series: Series, minutes: int, *, measured: bool = True) -> None:
    t = series.newest + np.arange(7, minutes + 1, 7, dtype=np.int64) * MINUTE_MS
    series.add(candles_of(t))
    if measured:
        measure(series)


def measure(series: Series) -> None:
    draw = np.random.default_rng(series.size)
    series.fill(MetricColumns(*draw.random((5, series.size - series.measured))))


def test_percentiles_of_a_day_are_worked_out_once():
    series, daily, specs = grown(MIDNIGHT - 33 * DAY_MS, MIDNIGHT), DailyBounds(), bounds()
    for _ in range(300):
        extend(series, 7)
        expected = specs.at_newest(*specs.newest_of(series, series.size))
        assert not math.isnan(expected.c_min)
        series.looked_at = 0
        assert daily.newest(specs, "EUR_USD", series, series.size) == expected
        assert daily.newest(specs, "EUR_USD", series, series.size) == expected
        new_day = (series.newest + MINUTE_MS) % DAY_MS < 7 * MINUTE_MS
        assert series.looked_at < 10 or new_day or series.newest < MIDNIGHT + 7 * MINUTE_MS
    assert series.newest > MIDNIGHT + DAY_MS


@pytest.mark.parametrize("change", ["corrected", "measured", "trimmed", "specs", "instrument"])
def test_percentiles_are_worked_out_anew_where_the_past_changed(change):
    series, daily, specs, pair = grown(MIDNIGHT - 31 * DAY_MS, MIDNIGHT - DAY_MS), DailyBounds(), bounds(), "EUR_USD"
    extend(series, 2 * 1440, measured=change != "measured")
    before = daily.newest(specs, pair, series, series.size)
    assert before.c_min == pytest.approx(0.7, abs=0.1)
    match change:
        case "corrected":
            series.add(candles_of(series.take(slice(900, 901)).t)._replace(close=np.array([1.2])))
            measure(series)
        case "measured":
            measure(series)
        case "trimmed":
            series.trim(MIDNIGHT - 10 * DAY_MS)
        case "specs":
            specs = bounds(c="p20")
        case "instrument":
            pair, series = "GBP_USD", grown(MIDNIGHT - 40 * DAY_MS, MIDNIGHT - DAY_MS)
    after = daily.newest(specs, pair, series, series.size)
    expected = specs.at_newest(*specs.newest_of(series, series.size))
    assert np.array_equal(list(vars(after).values()), list(vars(expected).values()), equal_nan=True)
    assert after != before
