from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.entry_bounds import EntryBounds
from hotbandd.core.series import MetricColumns
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
