from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core.documents import Params
from hotbandd.core.param_key import extras, param_key, shortest
from hotbandd.core.setup import Setup
from hotbandd.core.thresholds import Guards

PARAMS = Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0)
GUARDS = Guards(enforce=True, s_min=0.4, h_max=0.7, r_max=0.6, hazard_max=1.0)
DEFAULT = Setup(kernel="calibrated", guards=GUARDS, sessions=True, exit_minutes=5)


def params_of(**changed: Any) -> Params:
    return msgspec.structs.replace(PARAMS, **changed)


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
    assert param_key(PARAMS, extras("EUR_USD", DEFAULT, DEFAULT)) == "c0.55:l12:t2:ec60:xc60"


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
    assert extras("EUR_USD", setup, DEFAULT) == parts


def test_a_cost_of_the_parameters_stands_before_one_of_the_settings() -> None:
    assert param_key(params_of(cost_bps=1.0), {"cost_bps": "spread"}) == "c0.55:l12:t2:ec60:xc60:cost_bps=1"
