from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.hazard import crossing_hazard, event_hazard, run_hazard
from tests.kernels import naive

ruptures = st.lists(st.one_of(st.sampled_from([0.0, 0.5, 0.949999999, 0.95, 1.0]), st.floats(0, 1)), max_size=60).map(
    lambda values: np.round(np.array(values, dtype=np.float64), 9)
)


def stamps(n, seed=0):
    return 1_500_000_000_000 + 60_000 * np.cumsum(np.random.default_rng(seed).integers(1, 9, n))


@given(ruptures, st.integers(1, 70))
def test_crossings_are_counted_as_by_the_naive_twin(rupture, window):
    assert crossing_hazard(rupture, window) == pytest.approx(naive.crossing_hazard(rupture, window), abs=1e-9)


@given(ruptures, st.integers(1, 70))
def test_events_are_weighed_as_by_the_naive_twin(rupture, window):
    t = stamps(len(rupture))
    assert event_hazard(rupture, t, window) == pytest.approx(naive.event_hazard(rupture, t, window), abs=1e-9)


@given(ruptures, st.integers(2, 20), st.data())
def test_a_hazard_depends_only_on_the_signals_it_looks_back_on(rupture, window, data):
    keep = data.draw(st.integers(0, max(0, len(rupture) - window)))
    t = stamps(len(rupture))
    settled = keep + window - 1
    for whole, part in (
        (crossing_hazard(rupture, window), crossing_hazard(rupture[keep:], window)),
        (event_hazard(rupture, t, window), event_hazard(rupture[keep:], t[keep:], window)),
    ):
        assert whole[settled:].tobytes() == part[window - 1 :].tobytes()


def test_staying_above_the_break_is_one_crossing():
    rupture = np.array([0.1, 0.95, 0.99, 0.97, 0.2])
    assert crossing_hazard(rupture).tolist() == [0.0, *(round(1 - np.exp(-1 / n), 9) for n in (2, 3, 4, 5))]


def test_a_run_that_begins_above_the_break_has_not_crossed_it():
    assert not crossing_hazard(np.ones(5)).any()


def test_no_signals_have_no_hazard():
    assert len(crossing_hazard(np.empty(0))) == 0
    assert len(event_hazard(np.empty(0), np.empty(0, dtype=np.int64))) == 0
    assert run_hazard(np.empty(0), np.empty(0, dtype=np.int64)) == 0.0


def test_the_hazard_of_a_whole_run_is_that_of_its_last_signal():
    rupture = np.round(np.random.default_rng(1).random(50), 9)
    t = stamps(50)
    assert run_hazard(rupture, t) == pytest.approx(event_hazard(rupture, t)[-1], abs=1e-9)


def test_stamps_that_stand_still_count_a_microsecond_each():
    t = np.zeros(3, dtype=np.int64)
    assert run_hazard(np.array([1.0, 1e-12, 1e-12]), t) == pytest.approx(1 - np.exp(-60 * 2e-12 / 2e-6))
