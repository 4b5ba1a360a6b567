"""The calibrated family reads about uniform on walks that go nowhere, and the same whichever way they go.

Bounds on sup |F_n(u) − u| hold what the statistics promise, not what a lucky seed gives: independent windows of 128 steps, 4 000 of
them, so that chance alone reaches 0.021 in one of twenty tests (Kolmogorov). S and R are asymptotic: eight blocks are few, and the larger of
two CUSUM statistics, squared, is only nearly uniform. A two-point walk takes few values of C, and its squares never vary.
"""

from __future__ import annotations

import numpy as np
import pytest

from kernels.structure import measure

WINDOWS, M = 4000, 128
CHANCE = 0.03


def steps_of(kind):
    draw = np.random.default_rng(20)
    if kind == "gaussian":
        return draw.standard_normal((M, WINDOWS))
    if kind == "student":
        return draw.standard_t(4, (M, WINDOWS))
    return draw.choice([-1.0, 1.0], (M, WINDOWS))


def closes_of(steps):
    path = np.concatenate((np.zeros((1, WINDOWS)), np.cumsum(steps, axis=0)))
    return np.exp(path * 1e-4)


def measured(closes):
    nothing = np.zeros_like(closes)
    return {
        name: column[0] for name, column in measure("calibrated", closes, closes, closes, nothing)._asdict().items()
    }


def distance(values):
    """sup |F_n(u) - u|, as far as atoms allow: F_n just below and just above each value."""
    ordered = np.sort(values)
    n = len(ordered)
    return float(max(np.max(ordered - np.arange(n) / n), np.max(np.arange(1, n + 1) / n - ordered)))


@pytest.mark.parametrize(
    ("kind", "metric", "bound"),
    [
        ("gaussian", "coherence", CHANCE),
        ("gaussian", "stability", 0.08),
        ("gaussian", "entropy", CHANCE),
        ("gaussian", "rupture", 0.12),
        ("student", "coherence", CHANCE),
        ("student", "stability", 0.08),
        ("student", "entropy", CHANCE),
        ("student", "rupture", 0.12),
        ("two-point", "coherence", 0.05 + CHANCE),
        ("two-point", "stability", 0.08),
        ("two-point", "entropy", CHANCE),
    ],
)
def test_a_driftless_walk_reads_about_uniform(kind, metric, bound):
    values = measured(closes_of(steps_of(kind)))[metric]
    assert distance(values) < bound


def test_a_walk_whose_squares_never_vary_has_no_break_of_size_and_reads_calmer():
    values = measured(closes_of(steps_of("two-point")))["rupture"]
    assert np.mean(values >= 0.95) < 0.05
    assert np.median(values) < 0.5


@pytest.mark.parametrize("kind", ["gaussian", "student", "two-point"])
def test_a_walk_turned_over_reads_the_same(kind):
    steps = steps_of(kind)
    up, down = measured(closes_of(steps)), measured(closes_of(-steps))
    for metric in ("coherence", "stability", "entropy", "rupture"):
        np.testing.assert_allclose(up[metric], down[metric], atol=2e-9)


def test_price_scale_and_volume_change_nothing():
    closes = closes_of(steps_of("gaussian"))
    draw = np.random.default_rng(1)
    plain = measure("calibrated", closes, closes, closes, np.zeros_like(closes))
    busy = measure("calibrated", closes, closes, closes, draw.random(closes.shape))
    scaled = measure("calibrated", closes * 151.3, closes, closes, np.zeros_like(closes))
    for ours, same, close in zip(plain, busy, scaled, strict=True):
        assert np.array_equal(ours, same)
        np.testing.assert_allclose(ours, close, atol=1e-7)  # a price scaled is a price rounded


def test_a_drift_shows_in_coherence_and_alternation_in_stability_and_entropy():
    steps = steps_of("gaussian")
    drifting = measured(closes_of(steps + 0.2))
    assert np.mean(drifting["coherence"] >= 0.55) > 0.85
    zigzag = np.abs(steps) * np.resize([1.0, -1.0], (M, 1))
    assert np.median(measured(closes_of(zigzag))["entropy"]) < 1e-6
    assert measured(closes_of(np.sign(zigzag)))["coherence"].max() == 0.0


def test_a_change_of_level_or_of_size_shows_in_rupture():
    steps = steps_of("gaussian")
    half = np.arange(M)[:, None] >= M // 2
    assert np.median(measured(closes_of(steps + np.where(half, 1.0, -1.0)))["rupture"]) > 0.999
    assert np.median(measured(closes_of(steps * np.where(half, 4.0, 1.0)))["rupture"]) > 0.95


def test_a_change_of_size_of_less_than_a_hundredth_counts_as_none():
    alternating = np.resize([1.0, -1.0], (M, 1)) * np.ones((1, WINDOWS))
    half = np.arange(M)[:, None] >= M // 2
    slight, clear = (measured(closes_of(alternating * np.where(half, size, 1.0))) for size in (1.004, 1.04))
    assert slight["rupture"].max() < 0.01
    assert clear["rupture"].min() > 0.95
