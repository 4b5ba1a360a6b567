from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import strategy
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Floats, Ints, of_columns
from hotbandd.core.documents import Params
from hotbandd.core.series import MetricColumns
from hotbandd.core.strategy import BUILT_IN, Guards, Setup, Sides, param_key, shortest, threshold
from hotbandd.errors import UsageError

PARAMS = Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0)
GUARDS = Guards(enforce=True, s_min=0.4, h_max=0.7, r_max=0.6, hazard_max=1.0)
DEFAULT = Setup(kernel="calibrated", guards=GUARDS, sessions=True, exit_minutes=5)


def params_of(**changed: Any) -> Params:
    return msgspec.structs.replace(PARAMS, **changed)


def metrics_of(coherence: Floats, **others: Floats) -> MetricColumns:
    rest = {name: np.full(len(coherence), 0.5) for name in MetricColumns._fields[1:]}
    return MetricColumns(coherence, **(rest | others))


# ---- direction ------------------------------------------------------------------------------------------------------


def naive_combined(closes: Floats, coherence: Floats, params: Params) -> list[int]:
    sides = []
    for i in range(len(closes)):
        j = i - params.direction_lookback
        side = 0
        if j >= 0 and coherence[i] - coherence[j] >= 0:
            slope_bps = 10_000 * math.log(closes[i] / closes[j])
            side = 1 if slope_bps >= params.dir_threshold_bps else -1 if slope_bps <= -params.dir_threshold_bps else 0
        sides.append(side)
    return sides


@given(st.integers(0, 80), st.integers(1, 20), st.sampled_from([0.0, 0.7, 2.0]), st.integers(0, 2**32))
def test_combined_is_its_twin_and_fade_its_opposite(n: int, lookback: int, thr: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    closes = np.exp(np.cumsum(random.choice([-1.0, 0.0, 0.0, 1.0], n)) * 1e-4)
    coherence = np.where(random.random(n) < 0.1, np.nan, random.integers(0, 4, n) / 4)
    params = params_of(direction_lookback=lookback, dir_threshold_bps=thr)
    sides = strategy.direction("combined", closes, metrics_of(coherence), params)
    assert sides.dtype == np.int8
    assert sides.tolist() == naive_combined(closes, coherence, params)
    assert (strategy.direction("fade", closes, metrics_of(coherence), params) == -sides).all()


def test_a_threshold_of_zero_takes_a_still_market_as_long() -> None:
    sides = strategy.direction("combined", np.ones(20), metrics_of(np.ones(20)), params_of(dir_threshold_bps=0.0))
    assert sides.tolist() == [0] * 12 + [1] * 8


def test_an_unknown_strategy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no strategy 'guess'; take one of combined, fade"):
        strategy.direction("guess", np.ones(2), metrics_of(np.ones(2)), PARAMS)


# ---- look-ahead -----------------------------------------------------------------------------------------------------


def next_close(closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    return np.sign(np.diff(closes, append=closes[-1:])).astype(np.int8)


def day_ahead(closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    sides = np.zeros(len(closes), dtype=np.int8)
    sides[:-1440] = np.sign(closes[1440:] - closes[:-1440])[: len(closes)]
    return sides


def against_the_mean(closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    return np.sign(closes - closes.mean()).astype(np.int8) if len(closes) else np.zeros(0, dtype=np.int8)


def next_coherence(closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    return (np.append(metrics.coherence[1:], 0.0) > 0.9).astype(np.int8)


@pytest.mark.parametrize("rule", [next_close, day_ahead, against_the_mean, next_coherence])
def test_a_rule_that_looks_ahead_is_refused(rule: strategy.Direction) -> None:
    with pytest.raises(UsageError, match="'mine' looks ahead: its side at candle"):
        strategy.accept({"mine": rule})


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_the_built_in_rules_do_not_look_ahead(name: str) -> None:
    strategy.look_ahead_check(BUILT_IN[name], name)


def constant(value: int) -> strategy.Direction:
    return lambda closes, metrics, params: np.full(len(closes), value, dtype=np.int8)


def test_rules_found_elsewhere_stand_beside_the_built_in_ones() -> None:
    rules = strategy.accept({"always_long": constant(1)})
    assert sorted(rules) == ["always_long", "combined", "fade"]
    assert strategy.direction("always_long", np.ones(3), metrics_of(np.ones(3)), PARAMS, rules).tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["combined", "Mine", "a:b", "x=1", ""])
def test_a_name_that_is_taken_or_would_break_a_key_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"cannot be named {name!r}")):
        strategy.accept({name: constant(1)})


def too_short(closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    return np.zeros(len(closes) - 1, dtype=np.int8)


@pytest.mark.parametrize("rule", [constant(2), too_short])
def test_an_answer_that_is_not_one_side_per_candle_is_refused(rule: strategy.Direction) -> None:
    with pytest.raises(UsageError, match="one of -1, 0, 1 for each candle"):
        strategy.look_ahead_check(rule)


# ---- thresholds and guards ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"), [("0.55", 0.55), (" 1 ", 1.0), ("p80", "p80"), ("p99.5", "p99.5"), ("p100", "p100")]
)
def test_a_threshold_is_a_number_or_a_percentile(text: str, value: float | str) -> None:
    assert strategy.parse_threshold(text) == value


@pytest.mark.parametrize("text", ["", "p", "p101", "p-1", "P80", "80p", "nan", "inf", "p80:x", "high"])
def test_anything_else_is_no_threshold(text: str) -> None:
    with pytest.raises(UsageError, match="is no threshold"):
        strategy.parse_threshold(text)
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
    return bool(strategy.admitted(np.zeros(1, dtype=np.int64), metrics, c_min, guards)[0])


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


# ---- cost -----------------------------------------------------------------------------------------------------------


def test_the_cost_is_the_override_or_the_default_of_the_instrument() -> None:
    assert strategy.cost_bps("USD_JPY", {}) == 1.6
    assert strategy.cost_bps("XAU_USD", {}) == 3.0
    assert strategy.cost_bps("USD_JPY", {"USD_JPY": 0.0}) == 0.0


def quoted(days: int, spread_bps: Floats) -> Any:
    t = np.arange(days * 24, dtype=np.int64) * 60 * MINUTE_MS
    half = np.resize(spread_bps, len(t)) / 20_000
    one = np.ones(len(t))
    return of_columns(t, one, one, one, one, one, one - half, one + half)


def test_the_spread_is_the_median_of_the_thirty_days_before_the_start() -> None:
    candles = quoted(60, np.repeat([1.0, 2.0, 4.0], 480))
    assert strategy.spread_cost_bps(candles, 40 * DAY_MS) == pytest.approx(2.2)
    assert strategy.spread_cost_bps(candles, 20 * DAY_MS) == pytest.approx(1.2)
    assert strategy.spread_cost_bps(candles, 0) is None


def test_unquoted_candles_do_not_count_for_the_spread() -> None:
    candles = quoted(10, np.array([1.0, np.nan, np.nan]))
    assert strategy.spread_cost_bps(candles, 10 * DAY_MS) == pytest.approx(1.2)
    assert strategy.spread_cost_bps(quoted(10, np.array([np.nan])), 10 * DAY_MS) is None


def test_the_cost_of_the_parameters_stands_before_the_spread_and_the_spread_before_the_rest() -> None:
    setup = replace(DEFAULT, costs={"EUR_USD": 9.0}, cost_from_spread=True)
    candles = quoted(10, np.array([1.0]))
    assert setup.cost("EUR_USD", params_of(cost_bps=0.5), candles, 10 * DAY_MS) == 0.5
    assert setup.cost("EUR_USD", PARAMS, candles, 10 * DAY_MS) == pytest.approx(1.2)
    assert setup.cost("EUR_USD", PARAMS, candles, 0) == 9.0
    assert DEFAULT.cost("EUR_USD", PARAMS, candles, 10 * DAY_MS) == 2.2


# ---- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (2.0, "2"),
        (0.55, "0.55"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-7, "0.0000001"),
        (1e22, "1" + "0" * 22),
        (-0.0, "0"),
        (100.0, "100"),
    ],
)
def test_a_number_is_written_as_its_shortest_decimal(x: float, text: str) -> None:
    assert shortest(x) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_shortest_decimal_reads_back_as_the_same_number(x: float) -> None:
    text = shortest(x)
    assert float(text) == x
    assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d*[1-9])?", text)


def test_the_key_of_the_defaults_is_bare() -> None:
    assert param_key(PARAMS) == "c0.55:l12:t2:ec60:xc60"
    assert param_key(PARAMS, strategy.extras("EUR_USD", DEFAULT, DEFAULT)) == "c0.55:l12:t2:ec60:xc60"


def test_what_differs_from_its_default_follows_in_alphabetical_order() -> None:
    params = params_of(c_min="p80", strategy="fade", max_hold_min=60, tp_bps=12.5, sl_bps=8.0, cost_bps=0.0)
    assert param_key(params, {"kernel": "native"}) == (
        "cp80:l12:t2:ec60:xc60:cost_bps=0:kernel=native:max_hold_min=60:sl_bps=8:strategy=fade:tp_bps=12.5"
    )


@pytest.mark.parametrize(
    ("setup", "parts"),
    [
        (replace(DEFAULT, kernel="native", guards=replace(GUARDS, enforce=False)), {"kernel": "native"}),
        (replace(DEFAULT, kernel="native"), {"kernel": "native", "guards": "1"}),
        (replace(DEFAULT, guards=replace(GUARDS, enforce=False, s_min=0.1)), {"guards": "0"}),
        (replace(DEFAULT, guards=replace(GUARDS, s_min=0.5, h_max="p70")), {"s_min": "0.5", "h_max": "p70"}),
        (replace(DEFAULT, sessions=False, exit_minutes=9, windows="x"), {"sessions": "0"}),
        (replace(DEFAULT, exit_minutes=10), {"exit_minutes": "10"}),
        (replace(DEFAULT, windows="x"), {"windows": "8cdc1683"}),
        (replace(DEFAULT, costs={"EUR_USD": 1.25}), {"cost_bps": "1.25"}),
        (replace(DEFAULT, costs={"EUR_USD": 2.2, "USD_JPY": 9.0}), {}),
        (replace(DEFAULT, cost_from_spread=True), {"cost_bps": "spread"}),
    ],
)
def test_the_setup_adds_what_changes_the_run(setup: Setup, parts: dict[str, str]) -> None:
    assert strategy.extras("EUR_USD", setup, DEFAULT) == parts


def test_a_cost_of_the_parameters_stands_before_one_of_the_settings() -> None:
    assert param_key(params_of(cost_bps=1.0), {"cost_bps": "spread"}) == "c0.55:l12:t2:ec60:xc60:cost_bps=1"
