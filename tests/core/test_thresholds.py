from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hotbandd.core import thresholds
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Floats, Ints
from hotbandd.core.series import MetricColumns
from hotbandd.core.thresholds import Guards, threshold
from hotbandd.errors import UsageError

GUARDS = Guards(enforce=True, s_min=0.4, h_max=0.7, r_max=0.6, hazard_max=1.0)


def metrics_of(coherence: Floats, **others: Floats) -> MetricColumns:
    rest = {name: np.full(len(coherence), 0.5) for name in MetricColumns._fields[1:]}
    return MetricColumns(coherence, **(rest | others))


@pytest.mark.parametrize(
    ("text", "value"), [("0.55", 0.55), (" 1 ", 1.0), ("p80", "p80"), ("p99.5", "p99.5"), ("p100", "p100")]
)
def test_a_threshold_is_a_number_or_a_percentile(text: str, value: float | str) -> None:
    assert thresholds.parse_threshold(text) == value


@pytest.mark.parametrize("text", ["", "p", "p101", "p-1", "P80", "80p", "nan", "inf", "p80:x", "high"])
def test_anything_else_is_no_threshold(text: str) -> None:
    with pytest.raises(UsageError, match="is no threshold"):
        thresholds.parse_threshold(text)
    with pytest.raises(UsageError, match="is no threshold"):
        threshold(text, np.zeros(1, dtype=np.int64), np.zeros(1))


def hours(days: int) -> Ints:
    return np.arange(days * 24, dtype=np.int64) * 60 * MINUTE_MS - MINUTE_MS


def naive_percentiles(percent: float, t: Ints, values: Floats) -> list[float]:
    levels = []
    for opened in t.tolist():
        midnight = (opened + MINUTE_MS) // DAY_MS * DAY_MS
        known = [
            (c, v)
            for c, v in zip((t + MINUTE_MS).tolist(), values.tolist(), strict=True)
            if not math.isnan(v) and c <= midnight
        ]
        old_enough = any(c <= midnight - 30 * DAY_MS for c, _ in known)
        window = [v for c, v in known if c > midnight - 30 * DAY_MS]
        levels.append(float(np.percentile(window, percent)) if old_enough and window else math.nan)
    return levels


def test_a_percentile_is_that_of_the_thirty_days_before_its_midnight() -> None:
    random = np.random.default_rng(1)
    t = hours(50)[random.random(50 * 24) < 0.7]
    values = np.where(random.random(len(t)) < 0.2, np.nan, random.random(len(t)))
    found = threshold("p80", t, values)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, naive_percentiles(80, t, values))
    assert 0 < np.count_nonzero(np.isnan(found)) < len(t)


def test_a_percentile_starts_at_the_first_midnight_with_thirty_days_behind_it() -> None:
    t = hours(32)
    found = np.asarray(threshold("p50", t, np.arange(len(t), dtype=np.float64)))
    assert np.flatnonzero(~np.isnan(found))[0] == 30 * 24
    assert len(set(found[30 * 24 : 31 * 24])) == 1


def test_a_percentile_knows_nothing_after_its_midnight() -> None:
    t = hours(40)
    values = np.random.default_rng(2).random(len(t))
    before = np.asarray(threshold("p50", t, values))
    values[35 * 24 + 1 :] = 9.0
    after = np.asarray(threshold("p50", t, values))
    np.testing.assert_array_equal(before[: 36 * 24], after[: 36 * 24])
    assert (before[36 * 24 :] != after[36 * 24 :]).all()


def test_a_metric_that_was_never_known_has_no_percentile() -> None:
    t = hours(40)
    assert np.isnan(threshold("p50", t, np.full(len(t), np.nan))).all()
    assert np.size(threshold("p50", t[:0], np.zeros(0))) == 0


def admitted(guards: Guards, c_min: float | str = 0.5, **values: float) -> bool:
    columns = {"coherence": 0.5, "stability": 0.4, "entropy": 0.7, "rupture": 0.6, "hazard": 1.0} | values
    metrics = MetricColumns(**{name: np.array([value]) for name, value in columns.items()})
    return bool(thresholds.admitted(np.zeros(1, dtype=np.int64), metrics, c_min, guards)[0])


@pytest.mark.parametrize(
    ("metric", "beyond"), [("stability", 0.39), ("entropy", 0.71), ("rupture", 0.61), ("hazard", 1.01)]
)
def test_a_bound_admits_its_own_value_and_filters_only_where_enforced(metric: str, beyond: float) -> None:
    assert admitted(GUARDS)
    assert not admitted(GUARDS, **{metric: beyond})
    assert not admitted(GUARDS, **{metric: math.nan})
    assert admitted(replace(GUARDS, enforce=False), **{metric: beyond})


def test_coherence_is_asked_for_with_and_without_guards() -> None:
    for guards in (GUARDS, replace(GUARDS, enforce=False)):
        assert admitted(guards, coherence=0.5)
        assert not admitted(guards, coherence=0.49)
        assert not admitted(guards, coherence=math.nan)
        assert not admitted(guards, c_min="p0")
