"""What is drawn of an instrument: bars and metrics, few enough to be told apart."""

from __future__ import annotations

import numpy as np

from hotbandd.core import chart
from hotbandd.core.candles import MINUTE_MS, empty
from hotbandd.core.series import MetricColumns
from tests.services.scenes import NOW, minutes


def test_few_candles_are_bars_as_they_are() -> None:
    candles = minutes(NOW, NOW + 10 * MINUTE_MS)
    made, width = chart.bars(candles)
    assert width == 1
    assert made.t == candles.t.tolist()
    assert made.close == candles.close.tolist()


def test_many_candles_are_wider_bars_with_their_extremes() -> None:
    first = NOW - NOW % (5 * MINUTE_MS)
    candles = minutes(first, first + 100 * MINUTE_MS)
    made, width = chart.bars(candles, most=20)
    assert width == 5
    assert len(made.t) == 20
    for i, t in enumerate(made.t):
        inside = candles.between(t, t + 5 * MINUTE_MS)
        expected = (inside.open[0], inside.high.max(), inside.low.min(), inside.close[-1])
        assert (made.open[i], made.high[i], made.low[i], made.close[i]) == expected


def test_no_candles_are_no_bars() -> None:
    made, _ = chart.bars(empty())
    assert made.t == made.open == made.close == []


def test_metrics_stand_at_the_ends_of_bars_and_unknown_is_not_zero() -> None:
    stamps = np.arange(NOW, NOW + 4 * MINUTE_MS, MINUTE_MS, dtype=np.int64) + MINUTE_MS
    column = np.array([np.nan, 0.25, 0.123456, 0.75])
    found = chart.metrics(stamps, MetricColumns(*(column,) * 5), most=10)
    assert found.t == stamps.tolist()
    assert found.C == [None, 0.25, 0.1235, 0.75]
