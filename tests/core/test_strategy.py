from __future__ import annotations

import math
import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import strategy
from hotbandd.core.candles import Floats
from hotbandd.core.documents import Params
from hotbandd.core.series import MetricColumns
from hotbandd.core.strategy import BUILT_IN, Sides
from hotbandd.errors import UsageError

PARAMS = Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0)


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
