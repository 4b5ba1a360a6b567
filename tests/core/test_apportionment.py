"""Shares of the book hold their bounds to the last published digit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import apportionment

SCORES = st.dictionaries(st.sampled_from("ABCDEF"), st.floats(0, 2), max_size=6)
SHARES = st.decimals(0, 1, places=4).map(float)
MICROS = st.dictionaries(st.sampled_from("ABCDEF"), st.integers(1, 1_000_000), max_size=6)


def decimals(weights):
    return [Decimal(str(weight)) for weight in weights.values()]


@given(SCORES, SHARES, SHARES, st.booleans())
def test_published_decimals_meet_cap_and_target(scores, target, cap, redistribute):
    shares = apportionment.apportion(scores, target=target, cap=cap, redistribute=redistribute)
    weights = decimals(apportionment.to_weights(shares))
    assert sum(weights) <= Decimal(str(target))
    assert all(0 < weight <= Decimal(str(cap)) and weight.as_tuple().exponent >= -6 for weight in weights)


@given(SCORES, SHARES, SHARES)
def test_redistribution_leaves_nothing_over_that_a_cap_allows(scores, target, cap):
    shares = apportionment.apportion(scores, target=target, cap=cap, redistribute=True)
    earning = [name for name, value in scores.items() if value > 0]
    room = min(apportionment.micros(target), apportionment.micros(cap) * len(earning))
    assert 0 <= room - sum(shares.values()) <= len(earning)


@given(SCORES, SHARES, SHARES, st.booleans())
def test_a_higher_score_never_gets_less(scores, target, cap, redistribute):
    shares = apportionment.apportion(scores, target=target, cap=cap, redistribute=redistribute)
    ranked = [shares.get(name, 0) for name in sorted(scores, key=scores.__getitem__)]
    assert ranked == sorted(ranked)


def test_three_equal_scores_fill_the_target_exactly():
    shares = apportionment.apportion(dict.fromkeys("ABC", 0.7), target=0.3, cap=0.1, redistribute=False)
    assert apportionment.to_weights(shares) == {"A": 0.1, "B": 0.1, "C": 0.1}


def test_what_a_cap_cuts_off_is_left_over():
    shares = apportionment.apportion({"A": 0.5, "B": 0.3, "C": 0.2}, target=0.3, cap=0.1, redistribute=False)
    assert apportionment.to_weights(shares) == {"A": 0.1, "B": 0.09, "C": 0.06}


def test_what_a_cap_cuts_off_is_spread_over_the_uncapped():
    shares = apportionment.apportion({"A": 0.5, "B": 0.25, "C": 0.25}, target=0.26, cap=0.1, redistribute=True)
    assert apportionment.to_weights(shares) == {"A": 0.1, "B": 0.08, "C": 0.08}
    cascade = apportionment.apportion({"A": 0.5, "B": 0.3, "C": 0.2}, target=0.3, cap=0.12, redistribute=True)
    assert apportionment.to_weights(cascade) == {"A": 0.12, "B": 0.108, "C": 0.072}


def test_shares_are_rounded_down():
    shares = apportionment.apportion({"A": 2.0, "B": 1.0}, target=0.1, cap=1.0, redistribute=False)
    assert apportionment.to_weights(shares) == {"A": 0.066666, "B": 0.033333}


@given(MICROS)
def test_publishing_and_reading_back_loses_nothing(shares):
    assert apportionment.of_weights(apportionment.to_weights(shares)) == shares


@given(MICROS, SHARES, SHARES)
def test_bounding_only_lowers(shares, target, cap):
    bounded = apportionment.bounded(shares, target=target, cap=cap)
    assert sum(bounded.values()) <= apportionment.micros(target)
    assert all(weight <= min(shares[name], apportionment.micros(cap)) for name, weight in bounded.items())
    assert apportionment.bounded(bounded, target=target, cap=cap) == bounded


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        ({"A": 90_000}, {"A": 99_999}, False),
        ({"A": 90_000}, {"A": 100_000}, True),
        ({"A": 90_000}, {"A": 80_000}, True),
        ({"A": 90_000}, {"A": 90_000, "B": 1}, True),
        ({"A": 90_000, "B": 1}, {"A": 90_000}, True),
        ({}, {}, False),
    ],
)
def test_a_move_is_an_entry_a_leave_or_a_hundredth(old, new, moved):
    assert apportionment.moved(new, old, 0.01) is moved


def test_the_smaller_of_two_books_adds_nothing():
    assert apportionment.smaller({"A": 5, "B": 9}, {"B": 7, "C": 3}) == {"B": 7}
