from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from hotbandd.core import setup
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Floats, of_columns
from hotbandd.core.documents import Params
from hotbandd.core.setup import Setup
from hotbandd.core.thresholds import Guards

PARAMS = Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0)
GUARDS = Guards(enforce=True, s_min=0.4, h_max=0.7, r_max=0.6, hazard_max=1.0)
DEFAULT = Setup(kernel="calibrated", guards=GUARDS, sessions=True, exit_minutes=5)


def test_the_cost_is_the_override_or_the_default_of_the_instrument() -> None:
    assert setup.cost_bps("USD_JPY", {}) == 1.6
    assert setup.cost_bps("XAU_USD", {}) == 3.0
    assert setup.cost_bps("USD_JPY", {"USD_JPY": 0.0}) == 0.0


def quoted(days: int, spread_bps: Floats) -> Any:
    t = np.arange(days * 24, dtype=np.int64) * 60 * MINUTE_MS
    half = np.resize(spread_bps, len(t)) / 20_000
    one = np.ones(len(t))
    return of_columns(t, one, one, one, one, one, one - half, one + half)


def test_the_spread_is_the_median_of_the_thirty_days_before_the_start() -> None:
    candles = quoted(60, np.repeat([1.0, 2.0, 4.0], 480))
    assert setup.spread_cost_bps(candles, 40 * DAY_MS) == pytest.approx(2.2)
    assert setup.spread_cost_bps(candles, 20 * DAY_MS) == pytest.approx(1.2)
    assert setup.spread_cost_bps(candles, 0) is None


def test_unquoted_candles_do_not_count_for_the_spread() -> None:
    candles = quoted(10, np.array([1.0, np.nan, np.nan]))
    assert setup.spread_cost_bps(candles, 10 * DAY_MS) == pytest.approx(1.2)
    assert setup.spread_cost_bps(quoted(10, np.array([np.nan])), 10 * DAY_MS) is None


def test_the_cost_of_the_parameters_stands_before_the_spread_and_the_spread_before_the_rest() -> None:
    setup = replace(DEFAULT, costs={"EUR_USD": 9.0}, cost_from_spread=True)
    candles = quoted(10, np.array([1.0]))
    assert setup.cost("EUR_USD", msgspec.structs.replace(PARAMS, cost_bps=0.5), candles, 10 * DAY_MS) == 0.5
    assert setup.cost("EUR_USD", PARAMS, candles, 10 * DAY_MS) == pytest.approx(1.2)
    assert setup.cost("EUR_USD", PARAMS, candles, 0) == 9.0
    assert DEFAULT.cost("EUR_USD", PARAMS, candles, 10 * DAY_MS) == 2.2
