from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core.backfill import CHUNK_MS, QUIET_MS, missing_ranges
from hotbandd.core.candles import DAY_MS, MINUTE_MS

T0 = 1_718_800_200_000
QUIET = QUIET_MS // MINUTE_MS


def ranges_of(minutes, openings):
    t = T0 + np.array(sorted(minutes), dtype=np.int64) * MINUTE_MS
    rows = T0 + np.array(openings, dtype=np.int64).reshape(-1, 2) * MINUTE_MS
    found = missing_ranges(t, rows)
    return [((start - T0) // MINUTE_MS, (end - T0) // MINUTE_MS) for start, end in found]


def naive(minutes, openings):
    """Go through every open minute, and gather the runs without a candle that are too long to be quiet."""
    found = []
    for opens, closes in openings:
        run = []
        for minute in range(opens, closes + 1):
            if minute < closes and minute not in minutes:
                run.append(minute)
            else:
                if len(run) >= QUIET:
                    found.append((run[0], run[-1] + 1))
                run = []
    return sorted(found, reverse=True)


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), max_size=8),
    st.lists(st.integers(0, 400), min_size=2, max_size=8, unique=True).map(sorted),
)
def test_holes_are_those_that_a_walk_over_all_open_minutes_finds(runs, edges):
    minutes = {minute for start, length in runs for minute in range(start, start + length)}
    openings = list(zip(edges[::2], edges[1::2], strict=False))
    assert ranges_of(minutes, openings) == naive(minutes, openings)


def test_a_few_minutes_without_a_quote_are_no_hole():
    assert ranges_of(set(range(100)) - set(range(40, 40 + QUIET - 1)), [(0, 100)]) == []
    assert ranges_of(set(range(100)) - set(range(40, 40 + QUIET)), [(0, 100)]) == [(40, 40 + QUIET)]


def test_a_weekend_is_no_hole():
    assert ranges_of({*range(100), *range(3000, 3100)}, [(0, 100), (3000, 3100)]) == []


def test_a_long_hole_is_cut_into_ranges_of_three_days_newest_first():
    days = DAY_MS // MINUTE_MS
    found = ranges_of(set(), [(0, 5 * days), (7 * days, 8 * days)])
    assert found == [(7 * days, 8 * days), (3 * days, 5 * days), (0, 3 * days)]
    assert CHUNK_MS // MINUTE_MS <= 5000


def test_without_open_hours_nothing_is_missing():
    assert ranges_of({1, 2}, []) == []
