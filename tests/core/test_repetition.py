"""The repetition guard against its rule, written out signal by signal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core.repetition import repetition_met, required_occurrences

MINUTE = 60_000
NOW = 1_741_597_200_000


def met(signals, *, hazard=0.0, lookback=60, occurrences=2):
    """Judge signals given as (minutes ago, code)."""
    ts = np.array([NOW - round(age * MINUTE) for age, _ in signals], dtype=np.int64)
    codes = np.array([code for _, code in signals], dtype=np.int64)
    return repetition_met(ts, codes, hazard, NOW, lookback_min=lookback, min_occurrences=occurrences)


def naive(signals, hazard, lookback, occurrences):
    recent = [(age, code) for age, code in signals if 0 <= age < 60 and code >= 0]
    over_lookback = 1 - (1 - hazard) ** lookback
    required = math.floor(occurrences * (1 + over_lookback) + 0.5)
    repeated = [
        sum(1 for other, same in signals if same == code and age <= other < age + lookback) >= required
        for age, code in recent
    ]
    return bool(recent) and sum(repeated) >= len(repeated) / 2


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(-5, 200), st.integers(-1, 3)), max_size=60),
    st.sampled_from([0.0, 0.001, 0.005, 0.0116, 0.05, 1.0]),
    st.sampled_from([1, 10, 60, 90]),
    st.integers(0, 6),
)
def test_it_is_the_rule_written_out(signals, hazard, lookback, occurrences):
    expected = naive(signals, hazard, lookback, occurrences)
    assert met(signals, hazard=hazard, lookback=lookback, occurrences=occurrences) == expected


def test_without_signals_of_the_last_hour_it_is_not_met():
    assert not met([])
    assert not met([(60, 1), (61, 1)], occurrences=1)
    assert met([(59, 1), (61, 1)])


def test_signals_of_the_future_do_not_count():
    assert not met([(-1, 1), (0, 1)])


def test_a_minute_without_signature_neither_counts_nor_is_judged():
    assert not met([(0, -1), (1, -1), (2, -1)])
    assert met([(0, -1), (1, 7), (2, 7), (3, -1)])


def test_half_of_the_signals_suffice():
    repeated_and_first = [(1, 7), (2, 7)]
    assert met(repeated_and_first)
    assert not met([*repeated_and_first, (3, 8)])


def test_a_repetition_just_outside_the_lookback_is_none():
    assert not met([(0, 7), (10, 7)], lookback=10)
    assert met([(0, 7), (9, 7)], lookback=10)


def test_the_lookback_reaches_behind_the_hour_of_signals():
    assert met([(59, 7), (118, 7)])
    assert not met([(59, 7), (119, 7)])


@pytest.mark.parametrize(
    ("hazard", "required"), [(0.0, 2), (0.0047, 2), (0.0049, 3), (0.0228, 3), (0.0229, 4), (1.0, 4)]
)
def test_a_higher_hazard_asks_for_more_repetition(hazard, required):
    assert required_occurrences(hazard, lookback_min=60, min_occurrences=2) == required


def test_a_half_is_rounded_up():
    assert required_occurrences(0.25, lookback_min=1, min_occurrences=2) == 3
    assert required_occurrences(0.5, lookback_min=1, min_occurrences=1) == 2
