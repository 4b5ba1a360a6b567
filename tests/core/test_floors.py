"""Floors rise with a long enough history, and never fall below the settings' own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core.documents import EvaluationPoint
from hotbandd.core.floors import MIN_HISTORY, EnvFloors, History, floors

ENV = EnvFloors(min_trades=8, calmar_min=0.10, pnl_min=0.0)


def history(count, trades=40, calmar=2.0, pnl=0.02):
    return History(points(count, trades, calmar, pnl))


def points(count, trades=40, calmar=2.0, pnl=0.02):
    return [EvaluationPoint(ts=n, trades=trades, calmar=calmar, pnl_total=pnl) for n in range(count)]


def test_a_long_history_raises_every_floor_to_its_share_of_the_median():
    result = floors(ENV, history(96), 0.5)
    assert (result.min_trades, result.calmar_min, result.pnl_min) == pytest.approx((20, 0.5, 0.01))
    assert (result.adaptive, result.history) == (True, 96)


def test_one_point_less_leaves_the_settings_floors():
    result = floors(ENV, history(95), 0.5)
    assert (result.min_trades, result.calmar_min, result.pnl_min) == (8, 0.10, 0.0)
    assert (result.adaptive, result.history) == (False, 95)


def test_no_history_leaves_the_settings_floors():
    assert floors(ENV, History(), 0.5).min_trades == 8


def test_a_losing_history_lowers_nothing():
    result = floors(ENV, history(200, trades=2, calmar=-1.0, pnl=-0.03), 0.5)
    assert (result.min_trades, result.calmar_min, result.pnl_min, result.adaptive) == (8, 0.10, 0.0, False)


def test_the_median_of_an_even_history_is_interpolated():
    result = floors(ENV, History(points(48, trades=20) + points(48, trades=41)), 1.0)
    assert result.min_trades == pytest.approx(30.5)


def test_only_the_floors_that_history_exceeds_rise():
    result = floors(ENV, history(96, trades=40, calmar=0.1, pnl=-0.01), 0.5)
    assert (result.min_trades, result.calmar_min, result.pnl_min, result.adaptive) == (20, 0.10, 0.0, True)


def test_a_share_of_nothing_is_the_settings_floors():
    assert not floors(ENV, history(96), 0.0).adaptive


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.floats(-100, 100), st.floats(-1, 1)), min_size=MIN_HISTORY, max_size=120
    ),
    st.floats(0, 1),
)
def test_a_steady_instrument_sits_above_its_own_floors_or_the_settings(rows, share):
    result = floors(ENV, History(EvaluationPoint(ts=0, trades=t, calmar=c, pnl_total=p) for t, c, p in rows), share)
    ordered = [sorted(column) for column in zip(*rows, strict=True)]
    own = (ENV.min_trades, ENV.calmar_min, ENV.pnl_min)
    for floor, env, column in zip((result.min_trades, result.calmar_min, result.pnl_min), own, ordered, strict=True):
        assert env <= floor <= max(env, column[-1])


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([-1.0, 0.5, 0.5, 2.0]), st.floats(-1, 1)), min_size=1),
    st.integers(1, 40),
)
def test_the_medians_of_a_moving_history_are_those_of_what_is_in_it(rows, length):
    """Slots come and go, and figures repeat: the medians are numpy's of the window alone."""
    kept = History()
    seen = []
    for ts, (trades, calmar, pnl) in enumerate(rows):
        seen.append(EvaluationPoint(ts=ts, trades=trades, calmar=calmar, pnl_total=pnl))
        kept.add(seen[-1])
        inside = [point for point in seen if point.ts >= ts - length]
        figures = np.array([(point.trades, point.calmar, point.pnl_total) for point in inside])
        found = kept.between(ts - length, ts + 1)
        assert list(found) == inside
        assert len(found) == len(inside)
        assert found.medians() == tuple(np.median(figures, axis=0))


def test_what_is_not_before_a_moment_does_not_count_for_it_and_stays():
    kept = history(120)
    assert len(kept.between(0, 100)) == 100
    assert len(kept.between(10, 120)) == 110
    assert len(kept) == 110
    with pytest.raises(ValueError, match="nothing has a median"):
        kept.between(0, 5).medians()
