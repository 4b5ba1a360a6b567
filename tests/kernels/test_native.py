from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import native
from kernels.structure import measure
from tests.kernels import naive
from tests.kernels.market import walks

bit_lists = st.one_of(
    st.lists(st.integers(0, 1), min_size=2, max_size=150),
    st.builds(
        lambda bit, n, at: [bit ^ (i == at) for i in range(n)],
        st.integers(0, 1),
        st.integers(2, 150),
        st.integers(0, 149),
    ),
)


def rows(structure):
    return np.stack(structure, axis=1)


@given(bit_lists)
@settings(deadline=None)
def test_one_window_measures_as_its_naive_twin(bits):
    result = native.structure(np.array(bits, dtype=np.uint8), len(bits))
    assert rows(result)[0] == pytest.approx(naive.native(bits), abs=1e-12)


@given(st.lists(st.integers(0, 1), min_size=40, max_size=120), st.integers(2, 40))
@settings(deadline=None)
def test_every_window_of_a_stretch_measures_as_its_naive_twin(bits, m):
    result = rows(native.structure(np.array(bits, dtype=np.uint8), m))
    twins = [naive.native(bits[i : i + m]) for i in range(len(bits) - m + 1)]
    assert result == pytest.approx(np.array(twins), abs=1e-12)


@given(walks(129, 160))
@settings(deadline=None, max_examples=30)
def test_candles_measure_as_the_naive_twin_of_their_bits(bars):
    bits = naive.encode(*bars)
    twins = [naive.native(bits[i : i + 128]) for i in range(len(bits) - 127)]
    assert rows(measure("native", *bars)) == pytest.approx(np.array(twins), abs=1e-9)


@given(bit_lists)
@settings(deadline=None)
def test_single_precision_stays_within_a_millionth_of_double(bits):
    array = np.array(bits, dtype=np.uint8)
    single, double = (rows(native.structure(array, len(bits), single=flag)) for flag in (True, False))
    assert single == pytest.approx(double, abs=1e-6)


def test_a_window_of_one_bit_is_all_zeros():
    assert not rows(native.structure(np.array([1, 0], dtype=np.uint8), 1)).any()


@pytest.mark.parametrize("n", [0, 1, 127])
def test_fewer_bits_than_a_window_give_no_window(n):
    assert rows(native.structure(np.zeros(n, dtype=np.uint8), 128)).shape == (0, 4)


def test_ones_are_ruptures_and_zeros_are_nothing():
    ones = native.structure(np.ones(128, dtype=np.uint8), 128)
    zeros = native.structure(np.zeros(128, dtype=np.uint8), 128)
    assert (ones.rupture[0], ones.stability[0], ones.entropy[0]) == (1.0, 0.0, 0.05)
    assert (zeros.rupture[0], zeros.stability[0], zeros.entropy[0]) == (0.0, 1.0, 0.05)
    assert zeros.coherence[0] == pytest.approx(0.7 * (0.6 * 0.95 + 0.3 + 0.1))


@pytest.mark.shared_data
def test_recorded_windows_of_the_original_agree(shared_data):
    with gzip.open(shared_data / "golden/windows.jsonl.gz", "rt") as lines:
        windows = [json.loads(line) for line in lines]
    assert len(windows) == 375
    for window in windows:
        bits = np.array([int(bit) for bit in window["bits"]], dtype=np.uint8)
        theirs = (window["coherence"], window["entropy"], window["rupture_ratio"])
        for single, tolerance in ((True, 1e-12), (False, 1e-6)):
            ours = native.structure(bits, len(bits), single=single)
            assert (ours.coherence[0], ours.entropy[0], ours.rupture[0]) == pytest.approx(theirs, abs=tolerance)
