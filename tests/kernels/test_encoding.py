from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from kernels.encoding import encode
from tests.kernels import naive
from tests.kernels.market import walks


@given(walks())
def test_bits_are_those_of_the_naive_twin(bars):
    assert encode(*bars).tolist() == naive.encode(*bars)


@pytest.mark.parametrize(
    ("close", "spread", "volume", "bit"),
    [
        ((1.0, 1.0), (1, 1), (1, 1), 1),
        ((1.0, 0.9), (1, 2), (1, 2), 0),
        ((1.0, 1.1), (2, 1), (2, 1), 0),
        ((1.0, 1.1), (2, 1), (1, 1), 1),
        ((1.0, 1.1), (1, 1), (2, 1), 1),
    ],
)
def test_a_bit_asks_for_a_close_that_holds_and_a_range_or_volume_that_does(close, spread, volume, bit):
    close, spread, volume = (np.array(x, dtype=np.float64) for x in (close, spread, volume))
    assert encode(close, close + spread, close, volume).tolist() == [bit]


def test_no_candle_and_one_candle_have_no_bits():
    for n in (0, 1):
        bits = encode(*(np.ones(n) for _ in range(4)))
        assert bits.dtype == np.uint8
        assert len(bits) == 0
