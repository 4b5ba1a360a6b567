from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.volatility import sigma_eff
from tests.kernels import naive


@given(st.lists(st.floats(-1.0, 100.0, allow_subnormal=False).map(lambda x: round(x, 6)), max_size=40))
def test_volatility_is_that_of_the_naive_twin(close):
    assert sigma_eff(np.array(close, dtype=np.float64)) == pytest.approx(naive.sigma_eff(close), abs=1e-12)


@pytest.mark.parametrize("close", [[], [1.0], [1.0, 2.0], [1.0, -1.0, 2.0], [0.0, 0.0, 0.0, 1.0]])
def test_fewer_than_two_returns_have_no_volatility(close):
    assert sigma_eff(np.array(close)) == 0.0


def test_a_ratio_that_overflows_is_left_out():
    assert sigma_eff(np.array([1e-200, 1e200, 1e-200, 1e200])) == 0.0
