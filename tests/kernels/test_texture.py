from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import texture
from tests.kernels import naive


@given(st.lists(st.integers(0, 1), min_size=1, max_size=90), st.integers(1, 90))
@settings(deadline=None)
def test_every_window_has_the_texture_of_its_naive_twin(bits, m):
    windows = max(0, len(bits) - m + 1)
    rupture = np.linspace(0.0, 1.0, windows)
    result = texture.measure(np.array(bits, dtype=np.uint8), rupture, m)
    assert [len(column) for column in result] == [windows] * len(result)
    for i in range(windows):
        twin = naive.texture(bits[i : i + m], rupture[i])
        assert {name: column[i] for name, column in result._asdict().items()} == pytest.approx(twin, abs=1e-9)


def test_a_slow_square_wave_is_all_low_frequency_and_a_fast_one_none():
    slow, fast = np.repeat([0, 1], 64), np.resize([0, 1], 128)
    shares = [texture.measure(b.astype(np.uint8), np.zeros(1)).spectral_lowf_share[0] for b in (slow, fast)]
    assert shares[0] > 0.9
    assert shares[1] < 1e-9


def test_no_bits_have_no_texture():
    assert all(len(column) == 0 for column in texture.measure(np.empty(0, dtype=np.uint8), np.empty(0)))
