"""Packed days: what comes out is what went in, to the last bit, and what was damaged says so."""

from __future__ import annotations

import contextlib
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core import packed_day
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, of_columns
from hotbandd.core.packed_day import PackedDayError

DAY = 20_000 * DAY_MS

pips = st.integers(0, 10**7)
floats = st.floats(width=64)  # all of them, infinities and NaN included


def decimal(places: int) -> st.SearchStrategy[float]:
    return pips.map(lambda whole: whole / 10**places)


@st.composite
def days(draw: st.DrawFn) -> Candles:
    """Draw days of candles as markets have them, and as nobody would."""
    minutes = draw(st.lists(st.integers(0, 1439), unique=True, max_size=40).map(sorted))
    off_grid = draw(st.sampled_from([0, 0, 0, 1, 59_999]))
    size = len(minutes)
    value = draw(st.sampled_from([decimal(0), decimal(3), decimal(5), decimal(9), floats]))
    quote = st.one_of(st.just(float("nan")), draw(st.sampled_from([decimal(5), decimal(6), floats])))

    def column(of: st.SearchStrategy[float]) -> np.ndarray:
        return np.array(draw(st.lists(of, min_size=size, max_size=size)), dtype=np.float64)

    t = DAY + np.array(minutes, dtype=np.int64) * MINUTE_MS + off_grid
    return of_columns(t, *(column(value) for _ in range(5)), column(quote), column(quote))


def bits(column: np.ndarray) -> list[int]:
    """Return the bits of a column; one NaN is as good as another."""
    whole = np.where(np.isnan(column), np.nan, column) if column.dtype == np.float64 else column
    return whole.view(np.int64).tolist()


def assert_same(found: Candles, expected: Candles) -> None:
    for name, ours, theirs in zip(Candles._fields, found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert bits(ours) == bits(theirs), name


@settings(max_examples=300)
@given(days())
def test_what_comes_out_is_what_went_in(candles: Candles) -> None:
    packed = packed_day.pack(candles)
    assert packed_day.count(packed) == candles.size
    assert_same(packed_day.unpack(packed, DAY), candles)


def walk(minutes: int = 1440, *, decimals: int = 5, quoted: bool = True) -> Candles:
    """A day of a market that moves by about a pip a minute."""
    draw = np.random.default_rng(3)
    close = 1.1 * 10**decimals + np.cumsum(draw.normal(0, 10, minutes))
    before = np.concatenate((close[:1], close[:-1]))
    high = np.maximum(close, before) + draw.exponential(4, minutes)
    low = np.minimum(close, before) - draw.exponential(4, minutes)
    half = draw.integers(4, 9, minutes)
    shown = [np.rint(column) / 10**decimals for column in (before, high, low, close, close - half, close + half)]
    t = DAY + np.arange(minutes) * MINUTE_MS
    return of_columns(t, *shown[:4], draw.poisson(80, minutes).astype(float), *(shown[4:] if quoted else ()))


@pytest.mark.parametrize("decimals", [3, 5])
def test_a_day_of_a_market_takes_a_few_bytes_per_candle(decimals: int) -> None:
    candles = walk(decimals=decimals)
    packed = packed_day.pack(candles)
    assert_same(packed_day.unpack(packed, DAY), candles)
    assert len(packed) < 7 * candles.size


def test_any_damaged_byte_is_noticed() -> None:
    packed = packed_day.pack(walk(30))
    for at in range(len(packed)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(packed)
            damaged[at] ^= mask
            with pytest.raises(PackedDayError):
                packed_day.unpack(bytes(damaged), DAY)


def test_what_is_cut_off_or_longer_is_noticed() -> None:
    packed = packed_day.pack(walk(30))
    for end in range(len(packed)):
        with pytest.raises(PackedDayError):
            packed_day.unpack(packed[:end], DAY)
    with pytest.raises(PackedDayError, match="checksum"):
        packed_day.unpack(packed + b"\0", DAY)


def test_a_later_version_says_which() -> None:
    packed = bytes([packed_day.VERSION + 1]) + packed_day.pack(walk(3))[1:]
    assert packed_day.count(packed) == 0
    with pytest.raises(PackedDayError, match=f"version {packed_day.VERSION + 1}, not {packed_day.VERSION}"):
        packed_day.unpack(packed, DAY)


def test_candles_of_another_day_are_none_of_this_one() -> None:
    packed = packed_day.pack(walk(3))
    with pytest.raises(PackedDayError, match="another day"):
        packed_day.unpack(packed, DAY + DAY_MS)


@given(st.binary(max_size=200), st.integers(0, packed_day.MOST))
def test_anything_with_a_right_checksum_is_unpacked_or_refused(body: bytes, size: int) -> None:
    rest = zlib.compress(body)
    made = packed_day._HEAD.pack(packed_day.VERSION, size, packed_day._checksum(size, rest)) + rest
    with contextlib.suppress(PackedDayError):
        assert packed_day.unpack(made, DAY).size == size


def test_a_day_is_no_bomb() -> None:
    rest = zlib.compress(bytes(100_000_000), 9)
    made = packed_day._HEAD.pack(packed_day.VERSION, 1, packed_day._checksum(1, rest)) + rest
    with pytest.raises(PackedDayError):
        packed_day.unpack(made, DAY)


def test_too_many_candles_are_no_day() -> None:
    t = DAY + np.arange(packed_day.MOST + 1)
    column = np.ones(len(t))
    with pytest.raises(ValueError, match="at most 86400"):
        packed_day.pack(of_columns(t, *[column] * 5))
