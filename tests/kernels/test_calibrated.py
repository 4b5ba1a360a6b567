from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from kernels import calibrated
from kernels.structure import measure
from tests.kernels import naive
from tests.kernels.market import recorded, walk, walks

STILL = (0.0, 0.5, 1.0, 0.0)


def of_closes(close):
    close = np.asarray(close, dtype=np.float64)
    return np.stack(measure("calibrated", close, close, close, np.zeros(len(close))), axis=1)


@given(walks(129, 170))
@settings(deadline=None, max_examples=40)
def test_every_window_measures_as_its_naive_twin(bars):
    twins = [naive.calibrated(bars.close[i : i + 129].tolist()) for i in range(len(bars.close) - 128)]
    assert of_closes(bars.close) == pytest.approx(np.array(twins), abs=2e-9)


@given(walks(65, 90), st.sampled_from([16, 40, 64]))
@settings(deadline=None, max_examples=40)
def test_other_windows_measure_as_their_naive_twin(bars, m):
    result = np.stack(calibrated.structure(bars.close, m), axis=1)
    twins = [naive.calibrated(bars.close[i : i + m + 1].tolist()) for i in range(len(result))]
    assert result == pytest.approx(np.array(twins), abs=1e-9)


@given(walks(129, 300), st.sampled_from([0.001, 0.5, 3.0, 117.0, 1e6]))
@settings(deadline=None)
def test_the_unit_of_the_price_does_not_matter(bars, scale):
    assert of_closes(bars.close * scale) == pytest.approx(of_closes(bars.close), abs=2e-6)


@given(walks(129, 300))
@settings(deadline=None)
def test_every_metric_is_a_probability(bars):
    result = of_closes(bars.close)
    assert ((result >= 0.0) & (result <= 1.0)).all()


@given(walks(129, 200))
@settings(deadline=None)
def test_agreement_and_break_of_a_mirrored_path_are_the_same(bars):
    ours, mirrored = of_closes(bars.close), of_closes(1.0 / bars.close)
    assert mirrored[:, 3] == pytest.approx(ours[:, 3], abs=1e-6)
    assert mirrored[:, 0] == pytest.approx(ours[:, 0], abs=1e-6)


def test_a_price_that_stands_still_tells_nothing():
    assert of_closes(np.ones(200)).tolist() == [list(STILL)] * 72


@pytest.mark.parametrize(("moves", "still"), [(31, True), (32, False)])
def test_a_quarter_of_the_steps_must_move(moves, still):
    close = 1.0 + 1e-5 * np.concatenate((np.zeros(129 - moves), np.arange(1, moves + 1)))
    assert (tuple(of_closes(close)[0]) == STILL) is still


def test_a_steady_climb_is_agreed_persistent_and_unbroken():
    c, s, h, r = of_closes(1.1 * np.exp(1e-4 * np.arange(129)))[0]
    assert c == 1.0
    assert s > 0.99
    assert h == 0.0
    assert r < 0.01


def test_a_path_that_returns_to_its_price_has_gone_nowhere():
    close = np.where(np.arange(129) % 2, 1.2, 1.1)
    c, s, _, _ = of_closes(close)[0]
    assert (c, s) == (0.0, 0.5)


def test_a_burst_of_movement_is_a_break():
    steps = np.where(np.arange(128) < 64, 1e-5, 1e-3) * np.where(np.arange(128) % 2, 1, -1)
    assert of_closes(np.exp(np.concatenate(([0.0], np.cumsum(steps)))))[0, 3] > 0.95


def test_signs_drawn_by_a_coin_are_random_and_a_pattern_is_not():
    coin = np.cumsum(np.random.default_rng(3).choice([-1, 1], 1128))
    pattern = np.cumsum(np.resize([1, 1, -1, -1], 1128))
    random, patterned = (of_closes((100_000 + path) / 1e5)[:, 2].mean() for path in (coin, pattern))
    assert random > 0.4
    assert patterned < 0.01


@pytest.mark.parametrize("m", [0, 8, 20, 256])
def test_a_window_that_cannot_be_cut_into_eight_or_counted_is_refused(m):
    with pytest.raises(ValueError, match="multiple of 8"):
        calibrated.structure(np.ones(300), m)


def test_the_kolmogorov_distribution_is_scipys():
    x = np.concatenate((np.linspace(0.0, 4.0, 4001), [1e-9, 50.0]))
    assert calibrated.kolmogorov(x) == pytest.approx(1.0 - special.kolmogorov(x), abs=1e-14)


def test_on_driftless_walks_each_metric_is_about_uniform():
    """Bounds of the empirical distribution at its deciles, over 6 000 windows without overlap."""
    rng = np.random.default_rng(11)
    close = np.exp(np.cumsum(rng.normal(size=6_000 * 128 + 1) * 1e-4))
    metrics = measure("calibrated", close, close, close, np.zeros(len(close)))
    levels = np.linspace(0.1, 0.9, 9)
    far = {
        name: max(abs(float(np.mean(column[::128] <= q)) - q) for q in levels)
        for name, column in metrics._asdict().items()
    }
    assert far["coherence"] < 0.03
    assert far["stability"] < 0.06
    assert far["entropy"] < 0.03
    assert far["rupture"] < 0.13


def test_a_drift_of_a_fifth_of_the_step_shows_in_agreement_and_persistence():
    close = np.exp(np.cumsum((np.random.default_rng(12).normal(size=100_000) + 0.2) * 1e-4))
    metrics = measure("calibrated", close, close, close, close)
    assert np.mean(metrics.coherence >= 0.55) > 0.9
    assert np.mean(metrics.stability >= 0.40) > 0.83


RANGES = {"C": (0.34, 0.43), "S": (0.52, 0.57), "H": (0.67, 0.79), "R": (0.39, 0.48), "all": (0.075, 0.105)}


@pytest.mark.shared_data
@pytest.mark.parametrize("file", ["dev/EUR_USD", "dev/GBP_USD", "jpy/USD_JPY", "with_volume/NZD_USD"])
def test_thresholds_mean_the_same_on_every_feed(shared_data, file):
    bars = recorded(shared_data / f"candles/{file}_M1.csv.gz")
    c, s, h, r = measure("calibrated", *bars)
    met = {"C": c >= 0.55, "S": s >= 0.40, "H": h <= 0.70, "R": r <= 0.60}
    met["all"] = met["C"] & met["S"] & met["H"] & met["R"]
    for name, (least, most) in RANGES.items():
        assert least <= np.mean(met[name]) <= most, name


@pytest.mark.shared_data
def test_recorded_windows_measure_as_their_naive_twins(shared_data):
    bars = recorded(shared_data / "candles/dev/GBP_USD_M1.csv.gz").take(slice(90_000, 92_200))
    result = of_closes(bars.close)
    for i in range(0, len(result), 37):
        assert result[i] == pytest.approx(naive.calibrated(bars.close[i : i + 129].tolist()), abs=2e-9)


def test_walks_of_the_tests_hold_still_and_moving_windows():
    """The strategy above reaches both sides of the rule of movement."""
    assert (
        np.count_nonzero(np.diff(walk(1, 129, still=0.95).close)) < 32 <= np.count_nonzero(np.diff(walk(1, 129).close))
    )
