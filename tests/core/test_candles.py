from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import candles as columns
from hotbandd.core.candles import MINUTE_MS, Candles, check, concatenate, merge, of_columns, of_rows

T0 = 1_718_800_200_000
NAN = float("nan")


def good(*minutes: int, price: float = 1.1) -> Candles:
    t = T0 + np.array(minutes, dtype=np.int64) * MINUTE_MS
    close = price + 1e-5 * np.array(minutes, dtype=np.float64)
    return of_columns(t, close, close + 1e-4, close - 1e-4, close, np.full(len(minutes), 9.0), close - 1e-5, close)


def with_fault(**wrong: float) -> Candles:
    """Three good candles, the middle one set to something else."""
    candles = Candles(*(column.copy() for column in good(0, 1, 2)))
    for name, value in wrong.items():
        getattr(candles, name)[1] = value
    return candles


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"t": T0 + MINUTE_MS + 1}, "off_grid"),
        ({"open": NAN}, "not_finite"),
        ({"high": float("inf")}, "not_finite"),
        ({"volume": NAN}, "not_finite"),
        ({"low": 0.0}, "not_positive"),
        ({"close": -1.1}, "not_positive"),
        ({"volume": -1.0}, "negative_volume"),
        ({"high": 1.0}, "high_below_low"),
        ({"open": 1.2}, "high_below_low"),
        ({"close": 1.05}, "high_below_low"),
        ({"bid": 1.3}, "crossed_quote"),
        ({"t": T0 + 99 * MINUTE_MS}, "future"),
        ({"t": T0}, "duplicate"),
    ],
)
def test_each_candle_that_cannot_be_true_is_left_out_and_counted_by_its_reason(wrong, reason):
    kept, refused = check(with_fault(**wrong), now_ms=T0 + 10 * MINUTE_MS)
    assert refused == {reason: 1}
    assert kept.t.tolist() == [T0, T0 + 2 * MINUTE_MS]


def test_a_candle_with_several_faults_counts_once():
    assert check(with_fault(volume=NAN, high=1.0, bid=1.3)).refused == {"not_finite": 1}


def test_unknown_quotes_are_no_fault():
    assert check(with_fault(bid=NAN, ask=NAN)).refused == {}


def test_a_candle_that_closes_now_is_known_and_one_that_closes_a_moment_later_is_not():
    now = T0 + 3 * MINUTE_MS
    assert check(good(0, 1, 2), now_ms=now).candles.size == 3
    assert check(good(0, 1, 2), now_ms=now - 1).refused == {"future": 1}


def test_of_a_minute_that_comes_twice_the_last_one_stands_and_all_is_sorted():
    kept, refused = check(concatenate((good(3, 1), good(1, price=1.2), good(0))))
    assert refused == {"duplicate": 1}
    assert ((kept.t - T0) // MINUTE_MS).tolist() == [0, 1, 3]
    assert kept.close[1] == good(1, price=1.2).close[0]


def test_nothing_stays_nothing():
    assert check(columns.empty(), now_ms=T0).candles.size == 0


def rows_of(candles: Candles) -> dict[int, columns.Candle]:
    return {row.t: row for row in candles.rows()}


minute_sets = st.sets(st.integers(0, 60), max_size=25).map(sorted)


@given(minute_sets, minute_sets)
def test_merging_is_what_a_dictionary_of_minutes_would_do(old_minutes, new_minutes):
    old, new = good(*old_minutes), good(*new_minutes, price=1.3)
    merged = merge(old, new)
    assert rows_of(merged) == rows_of(old) | rows_of(new)
    assert (np.diff(merged.t) > 0).all()


@given(minute_sets, st.integers(-2, 62), st.integers(-2, 62))
def test_a_range_and_what_has_closed_are_as_a_loop_would_choose(minutes, first, last):
    candles = good(*minutes)
    start, end = T0 + first * MINUTE_MS, T0 + last * MINUTE_MS
    assert candles.between(start, end).t.tolist() == [t for t in candles.t.tolist() if start <= t < end]
    assert candles.closed_by(end).t.tolist() == [t for t in candles.t.tolist() if t + MINUTE_MS <= end]


def test_rows_and_columns_are_two_forms_of_the_same():
    candles = with_fault(bid=NAN)
    again = of_rows(candles.rows())
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(candles, again, strict=True))
    assert [row.bid is None for row in candles.rows()] == [False, True, False]
