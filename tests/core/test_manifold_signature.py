from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core.series import MetricColumns
from hotbandd.core.signature import Occurrence, occurrences, signature_codes, signatures

MINUTE = 60_000


def columns(c, s, h):
    c, s, h = (np.array(x, dtype=np.float64) for x in (c, s, h))
    return MetricColumns(c, s, h, np.zeros(len(c)), np.zeros(len(c)))


def test_calibrated_signatures_are_equal_steps_and_one_is_in_the_top_one():
    metrics = columns([0.0, 0.25, 0.5, 1.0], [0.249999999, 0.5, 0.75, 1.0], [0.9, 0.1, 0.3, 0.999999999])
    names = signatures("calibrated", metrics, precision=1, levels=4)
    assert names == ["c0_s0_e3", "c1_s2_e0", "c2_s3_e1", "c3_s3_e3"]


@pytest.mark.parametrize(
    ("precision", "name"),
    [(0, "c1_s0_e1"), (1, "c0.5_s0.4_e1.0"), (2, "c0.50_s0.44_e0.96"), (3, "c0.500_s0.445_e0.956")],
)
def test_native_signatures_are_rounded_half_away_from_zero(precision, name):
    metrics = columns([0.5], [0.4446], [0.9555])
    assert signatures("native", metrics, precision=precision, levels=4) == [name]


def test_a_row_without_a_window_has_no_signature():
    nan = float("nan")
    metrics = columns([nan, 0.5], [nan, 0.5], [nan, 0.5])
    for family in ("calibrated", "native"):
        assert signatures(family, metrics, precision=1, levels=4)[0] == ""
        codes = signature_codes(family, metrics, precision=1, levels=4)
        assert codes[0] == -1
        assert codes[1] >= 0


@given(
    st.lists(st.tuples(*[st.sampled_from([0.0, 0.04, 0.05, 0.25, 0.3, 0.5, 0.95, 0.96, 1.0])] * 3), max_size=30),
    st.sampled_from(["calibrated", "native"]),
    st.integers(0, 3),
    st.integers(1, 7),
)
def test_codes_are_equal_exactly_where_signatures_are(rows, family, precision, levels):
    metrics = columns(*(list(zip(*rows, strict=True)) or [[], [], []]))
    names = signatures(family, metrics, precision=precision, levels=levels)
    codes = signature_codes(family, metrics, precision=precision, levels=levels)
    assert len(set(zip(names, codes.tolist(), strict=True))) == len(set(names)) == len(set(codes.tolist()))


def test_occurrences_are_counted_within_the_look_back_itself_included():
    stamps = [minute * MINUTE for minute in (0, 1, 60, 61, 62)]
    counted = occurrences(["a", "b", "a", "a", "b"], stamps, 60)
    assert counted == [
        Occurrence(1, 0),
        Occurrence(1, MINUTE),
        Occurrence(2, 0),
        Occurrence(2, 60 * MINUTE),
        Occurrence(1, 62 * MINUTE),
    ]
