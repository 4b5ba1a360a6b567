from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import texture, windows
from kernels.encoding import encode
from kernels.structure import Structure, measure
from tests.kernels.market import walk, walks

FAMILIES = ("calibrated", "native")


def assert_same_bits(ours, theirs):
    for name, a, b in zip(ours._fields, ours, theirs, strict=True):
        assert a.tobytes() == b.tobytes(), name


@pytest.mark.parametrize("family", FAMILIES)
@given(walks(129, 420), st.data())
@settings(deadline=None, max_examples=60)
def test_a_window_does_not_depend_on_the_candles_around_it(family, bars, data):
    n = len(bars.close)
    start = data.draw(st.integers(0, n - 129))
    stop = data.draw(st.integers(start + 129, n))
    whole = measure(family, *bars)
    part = measure(family, *bars.take(slice(start, stop)))
    assert_same_bits(part, Structure(*(column[start : stop - 128] for column in whole)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_window_does_not_depend_on_where_a_block_begins(family):
    bars = walk(5, 2 * windows.BLOCK + 700)
    whole = measure(family, *bars)
    for start in (1, 777, windows.BLOCK - 1, windows.BLOCK + 3):
        part = measure(family, *bars.take(slice(start, None)))
        assert_same_bits(part, Structure(*(column[start:] for column in whole)))


@pytest.mark.parametrize("family", FAMILIES)
def test_candles_that_come_one_by_one_measure_as_all_at_once(family):
    bars = walk(6, 200)
    whole = measure(family, *bars)
    ones = [measure(family, *bars.take(slice(i, i + 129))) for i in range(72)]
    assert_same_bits(Structure(*(np.concatenate(column) for column in zip(*ones, strict=True))), whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_columns_need_not_lie_next_to_each_other_in_memory(family):
    bars = walk(7, 300)
    table = np.stack(bars, axis=1)
    assert_same_bits(measure(family, *table.T), measure(family, *bars))


@given(walks(129, 300), st.data())
@settings(deadline=None, max_examples=40)
def test_texture_does_not_depend_on_the_candles_around_it(bars, data):
    start = data.draw(st.integers(0, len(bars.close) - 129))
    bits = encode(*bars)
    rupture = measure("native", *bars).rupture
    part = texture.measure(bits[start:], rupture[start:])
    assert_same_bits(part, texture.Texture(*(column[start:] for column in texture.measure(bits, rupture))))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("n", "w"), [(0, 0), (1, 0), (128, 0), (129, 1), (130, 2)])
def test_as_many_windows_as_candles_less_128(family, n, w):
    assert [len(column) for column in measure(family, *walk(8, n))] == [w] * 4


@pytest.mark.parametrize("family", FAMILIES)
def test_metrics_have_nine_decimals(family):
    for column in measure(family, *walk(9, 400)):
        assert np.array_equal(column, np.round(column, 9))
        assert column.dtype == np.float64
