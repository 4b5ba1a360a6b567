from __future__ import annotations

import numpy as np

from kernels.single import log2

UNEVEN = {
    "0x1.5555560000000p-1": "-0x1.2b80320000000p-1",
    "0x1.c0a8e80000000p-1": "-0x1.86305c0000000p-3",
    "0x1.f5717c0000000p-1": "-0x1.ec752e0000000p-6",
}


def test_powers_of_two_are_exact():
    powers = np.arange(-100, 101)
    assert log2(np.exp2(powers).astype(np.float32)).tolist() == powers.tolist()


def test_the_logarithm_is_within_one_place_of_the_true_one():
    x = np.unique(np.concatenate([np.arange(1, k + 1, dtype=np.float32) / np.float32(k) for k in range(1, 256)]))
    true = np.log2(x.astype(np.float64))
    assert (np.abs(log2(x) - true) <= 0.76 * np.spacing(np.abs(true).astype(np.float32))).all()


def test_it_rounds_as_the_c_library_where_that_is_not_the_nearest():
    """Ratios whose logarithm the GNU C library rounds to the other neighbour of the true value."""
    x = np.array([float.fromhex(text) for text in UNEVEN], dtype=np.float32)
    assert [float(y).hex() for y in log2(x)] == list(UNEVEN.values())
    nearest = np.log2(x.astype(np.float64)).astype(np.float32)
    assert (log2(x) != nearest).all()
