from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import native, texture, windows
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


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data(), k=st.integers(1, 5), n=st.sampled_from([129, 130, 200, 400]))
@settings(deadline=None, max_examples=25)
def test_instruments_side_by_side_measure_as_each_alone(family, data, k, n):
    several = [data.draw(walks(n, n)) for _ in range(k)]
    together = measure(family, *(np.stack(columns, axis=1) for columns in zip(*several, strict=True)))
    for i, bars in enumerate(several):
        assert_same_bits(Structure(*(column[:, i].copy() for column in together)), measure(family, *bars))


def test_a_thousand_instruments_side_by_side_measure_as_each_alone():
    several = [walk(seed, 129) for seed in range(1000)]
    columns = [np.stack(column, axis=1) for column in zip(*several, strict=True)]
    for family in FAMILIES:
        together = measure(family, *columns)
        alone = [measure(family, *bars) for bars in several[::37]]
        assert_same_bits(
            Structure(*(column[0, ::37].copy() for column in together)),
            Structure(*(np.concatenate(column) for column in zip(*alone, strict=True))),
        )


@given(data=st.data(), k=st.integers(1, 4), n=st.sampled_from([128, 129, 180, 300]))
@settings(deadline=None, max_examples=25)
def test_texture_of_instruments_side_by_side_is_that_of_each_alone(data, k, n):
    bits = data.draw(st.lists(st.integers(0, 1), min_size=n * k, max_size=n * k))
    table = np.array(bits, dtype=np.uint8).reshape(n, k)
    rupture = np.linspace(0.0, 1.0, (n - 127) * k).reshape(n - 127, k)
    together = texture.measure(table, rupture, decimals=9)
    for i in range(k):
        alone = texture.measure(np.ascontiguousarray(table[:, i]), rupture[:, i], decimals=9)
        assert_same_bits(texture.Texture(*(column[:, i].copy() for column in together)), alone)


@pytest.mark.parametrize("m", [16, 20, 64, 120, 128, 200, 256])
def test_the_spectrum_of_a_window_does_not_depend_on_how_many_are_taken(m):
    bits = (np.random.default_rng(m).random(m + 700) < 0.4).astype(np.uint8)
    whole = texture.measure(bits, np.zeros(701), m).spectral_lowf_share
    parts = [
        texture.measure(bits[i : i + m + n], np.zeros(n + 1), m).spectral_lowf_share
        for i, n in ((0, 0), (7, 3), (90, 600))
    ]
    for part, start in zip(parts, (0, 7, 90), strict=True):
        assert part.tobytes() == whole[start : start + len(part)].tobytes()


def test_rounding_while_measuring_is_rounding_afterwards():
    bars = walk(11, 3000)
    bits = encode(*bars)
    rupture = measure("native", *bars).rupture
    plain, shown = texture.measure(bits, rupture), texture.measure(bits, rupture, decimals=9)
    assert_same_bits(shown, texture.Texture(*(np.round(column, 9) for column in plain)))
    assert_same_bits(
        native.structure(bits, 128, decimals=9), Structure(*(np.round(c, 9) for c in native.structure(bits, 128)))
    )
