from __future__ import annotations

import numpy as np
import pytest

from hotbandd.core import calibration, manifold
from hotbandd.core.calibration import ALWAYS, NEVER, Bound
from hotbandd.core.candles import DAY_MS, MINUTE_MS, of_columns
from hotbandd.core.series import Series
from tests.kernels.market import walk


def series_of(n, family="calibrated"):
    bars = walk(3, n)
    series = Series()
    t = MINUTE_MS * np.arange(n, dtype=np.int64)
    series.add(of_columns(t, bars.close, bars.high, bars.low, bars.close, bars.volume))
    manifold.measure_series(series, family)
    return series


@pytest.mark.parametrize("family", ["calibrated", "native"])
def test_shares_and_percentiles_are_counted_over_the_measured_windows(family):
    series = series_of(1500, family)
    c, h = series.metrics.coherence[128:], series.metrics.entropy[128:]
    level = float(np.median(c))
    bounds = [Bound("coherence", "least", level), Bound("entropy", "most", 0.9)]
    found = calibration.calibrate("EUR_USD", series, family, bounds)
    assert found.windows == 1500 - 128
    first, second = found.bounds
    assert first.passes == np.mean(c >= level)
    assert first.percentile == pytest.approx(50.0, abs=1.0)
    assert second.passes == np.mean(h <= 0.9)
    assert found.all_pass == np.mean((c >= level) & (h <= 0.9))
    assert found.quantiles["coherence"]["p50"] == level
    assert found.quantiles.keys() >= {"hazard", "spectral_lowf_share", "pinned_alignment"}


def test_a_bound_out_of_reach_is_told_in_words():
    bounds = [Bound("coherence", "least", 1.01), Bound("hazard", "most", 1.0)]
    found = calibration.calibrate("EUR_USD", series_of(400), "calibrated", bounds)
    assert [bound.words for bound in found.bounds] == [NEVER, ALWAYS]
    assert found.all_pass == 0.0
    assert [bound.percentile for bound in found.bounds] == [100.0, 100.0]


def test_a_percentile_without_thirty_days_is_not_known_and_met_by_none():
    found = calibration.calibrate("EUR_USD", series_of(3000), "calibrated", [Bound("coherence", "least", "p60")])
    (bound,) = found.bounds
    assert (bound.value, bound.percentile, bound.passes) == (None, None, 0.0)
    assert "30 days" in bound.words


def test_a_percentile_is_shown_with_the_number_in_force():
    found = calibration.calibrate(
        "EUR_USD", series_of(32 * DAY_MS // MINUTE_MS), "calibrated", [Bound("coherence", "least", "p60")]
    )
    (bound,) = found.bounds
    assert bound.percentile == pytest.approx(60.0, abs=2.0)


def test_too_few_candles_for_a_window_are_nothing_to_describe():
    assert calibration.calibrate("EUR_USD", series_of(128), "calibrated", []) is None
