"""Slots are UTC multiples of their interval."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import schedule

NINE = 1_741_597_200_000  # 2025-03-10 09:00 UTC
INTERVALS = st.sampled_from([10, 60, 600, 900, 3600])
MOMENTS = st.integers(0, 4_000_000_000_000)


@given(MOMENTS, INTERVALS)
def test_a_moment_lies_between_its_slot_and_the_next(now, interval):
    before, after = schedule.slot_at_or_before(now, interval), schedule.next_slot(now, interval, 0)
    assert before <= now < after
    assert after - before == interval * 1000
    assert before % (interval * 1000) == 0
    assert after % (interval * 1000) == 0


@given(MOMENTS, INTERVALS, st.integers(0, 30))
def test_a_slot_is_due_from_its_lag_on(now, interval, lag):
    slot = schedule.due_slot(now, interval, lag)
    assert slot % (interval * 1000) == 0
    assert schedule.due_at(slot, lag) <= now < schedule.due_at(slot + interval * 1000, lag)


@pytest.mark.parametrize(
    ("now", "due"),
    [(NINE, NINE - 900_000), (NINE + 9_999, NINE - 900_000), (NINE + 10_000, NINE), (NINE + 900_000, NINE)],
)
def test_the_slot_of_nine_runs_ten_seconds_past_nine(now, due):
    assert schedule.due_slot(now, 900, 10) == due


def test_the_two_loops_meet_every_half_hour():
    shared = [
        m
        for m in range(0, 7_200_000, 60_000)
        if m == schedule.slot_at_or_before(m, 900) == schedule.slot_at_or_before(m, 600)
    ]
    assert shared == [0, 1_800_000, 3_600_000, 5_400_000]


@given(MOMENTS, INTERVALS, st.integers(0, 30))
def test_a_start_begins_with_the_latest_past_slot(now, interval, lag):
    begin = schedule.before_latest(now, interval, min(lag, interval - 1))
    assert begin < now
    assert schedule.next_slot(begin, interval, min(lag, interval - 1)) == schedule.slot_at_or_before(now, interval)


def test_a_slot_itself_is_its_own_and_not_the_next():
    assert schedule.slot_at_or_before(NINE, 900) == NINE
    assert schedule.next_slot(NINE, 900, 0) == NINE + 900_000
