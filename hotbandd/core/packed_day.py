"""A day of candles as one value: a few bytes each, and to the last bit what was put in.

Layout, little-endian: version (one byte), number of candles (4), CRC-32 of all the rest (4), then zlib of the columns.

The columns are whole numbers: prices, quotes and volumes in the fewest decimals that give back each of them exactly, or, where none do, the bits
of the floats. Of each number its difference is kept from what the numbers before it let expect: an open from the close before, a high from
the higher of open and close, a quote from the close. What is left is small and of one size within a column, so a column is laid out by bytes:
all the lowest ones, then all the next. All arithmetic is modulo 2**64, so that no difference is too large.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Floats, Ints, Mask, empty, of_any

VERSION: Final = 1
MOST: Final = 86_400  # candles of a day: one a second

_HEAD: Final = struct.Struct("<BII")
_FORM: Final = struct.Struct("<qIbbb")  # first open time, unit of the times, decimals of prices, quotes and volumes
_BITS: Final = -1  # instead of decimals: the bits of the floats
_DECIMALS: Final = range(10)
_EXACT: Final = 2.0**53
_LONGEST: Final = _FORM.size + 8 * (9 * MOST + 1)


class PackedDayError(ValueError):
    """A value that is no packed day; says why."""


def pack(candles: Candles) -> bytes:
    """Pack candles of one day, ascending."""
    if candles.size > MOST:
        raise ValueError(f"a day holds at most {MOST} candles")
    packed = zlib.compress(_body(candles))  # the highest level takes six times as long to save a hundredth
    return _HEAD.pack(VERSION, candles.size, _checksum(candles.size, packed)) + packed


def count(packed: bytes) -> int:
    """Return how many candles a packed day says that it holds; 0 where it says nothing that could be true."""
    if len(packed) < _HEAD.size:
        return 0
    version, size, _ = _HEAD.unpack_from(packed)
    return int(size) if version == VERSION and size <= MOST else 0


def unpack(packed: bytes, day_ms: int) -> Candles:
    """Return the candles of the day that begins at a moment. Raises PackedDayError."""
    if len(packed) < _HEAD.size:
        raise PackedDayError("it is too short")
    version, size, checksum = _HEAD.unpack_from(packed)
    if version != VERSION:
        raise PackedDayError(f"it is of version {version}, not {VERSION}")
    rest = packed[_HEAD.size :]
    if size > MOST or checksum != _checksum(size, rest):
        raise PackedDayError("its checksum is wrong")
    try:
        candles = _candles(zlib.decompressobj().decompress(rest, _LONGEST), size)
    except (ValueError, struct.error, zlib.error) as error:
        raise PackedDayError(f"it cannot be unpacked: {error}") from error
    if candles.size and not (day_ms <= candles.t[0] and candles.t[-1] < day_ms + DAY_MS):
        raise PackedDayError("it is of another day")
    return candles


def _checksum(size: int, packed: bytes) -> int:
    return zlib.crc32(packed, size)


def _body(candles: Candles) -> bytes:
    if not candles.size:
        return b""
    t, prices, quotes = candles.t, candles[1:5], candles[6:]
    unit = 1 if (t % MINUTE_MS).any() else MINUTE_MS
    known = [~np.isnan(quote) for quote in quotes]
    in_prices, in_volume = _decimals(*prices), _decimals(candles.volume)
    in_quotes = _decimals(*(quote[mask] for quote, mask in zip(quotes, known, strict=True)))
    o, h, low, c = (_whole(column, in_prices) for column in prices)
    columns = [
        (t - _before(t)) // unit,
        c - _before(c),
        o - _before(c),
        h - np.maximum(o, c),
        np.minimum(o, c) - low,
        _whole(candles.volume, in_volume),
    ]
    columns[0][0] = 0
    for quote, mask in zip(quotes, known, strict=True):
        columns.append(_whole(quote[mask], in_quotes) - _expected(candles.close[mask], in_quotes))
    masks = [np.packbits(mask).tobytes() for mask in known]
    return b"".join([_FORM.pack(int(t[0]), unit, in_prices, in_quotes, in_volume), *masks, *map(_laid_out, columns)])


def _candles(body: bytes, size: int) -> Candles:
    if not size:
        return empty()
    first, unit, in_prices, in_quotes, in_volume = _FORM.unpack_from(body)
    reader = _Reader(body, _FORM.size)
    known = [reader.mask(size), reader.mask(size)]
    t = np.cumsum(reader.column(size)) * unit + first
    c = np.cumsum(reader.column(size))
    o = reader.column(size) + _before(c)
    h = reader.column(size) + np.maximum(o, c)
    low = np.minimum(o, c) - reader.column(size)
    prices = [_floats(column, in_prices) for column in (o, h, low, c)]
    volume = _floats(reader.column(size), in_volume)
    quotes = []
    for mask in known:
        quote = np.full(size, np.nan)
        there = prices[3][mask]
        quote[mask] = _floats(reader.column(len(there)) + _expected(there, in_quotes), in_quotes)
        quotes.append(quote)
    return of_any((t, *prices, volume, *quotes))


class _Reader:
    """Reads columns one after the other. Raises ValueError where there are fewer bytes than there should be."""

    def __init__(self, body: bytes, at: int) -> None:
        self._body = body
        self._at = at

    def _bytes(self, number: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        found = np.frombuffer(self._body, np.uint8, number, self._at) if number else np.empty(0, np.uint8)
        self._at += number
        return found

    def mask(self, size: int) -> Mask:
        return np.unpackbits(self._bytes((size + 7) // 8), count=size).astype(np.bool_)

    def column(self, size: int) -> Ints:
        width = int(self._bytes(1)[0])
        spread = np.zeros((size, 8), np.uint8)
        spread[:, :width] = self._bytes(width * size).reshape(width, size).T
        words = spread.view("<u8")[:, 0]
        return (words >> 1).astype(np.int64) ^ -(words & 1).astype(np.int64)


def _laid_out(column: Ints) -> bytes:
    """Lay a column out by bytes, preceded by how many bytes a number has; negative numbers are interleaved with the others."""
    words = ((column << 1) ^ (column >> 63)).astype("<u8")
    width = (int(words.max(initial=0)).bit_length() + 7) // 8
    return bytes([width]) + words.view(np.uint8).reshape(-1, 8)[:, :width].T.tobytes()


def _decimals(*columns: Floats) -> int:
    """Return the fewest decimals that give back each number exactly, or that there are none."""
    values = np.concatenate(columns)
    bits = values.view(np.int64)
    for decimals in _DECIMALS:
        if not _near(values, decimals).all():
            break
        if np.array_equal((np.rint(values * 10.0**decimals).astype(np.int64) / 10.0**decimals).view(np.int64), bits):
            return decimals
    return _BITS


def _whole(values: Floats, decimals: int) -> Ints:
    """Return numbers as whole ones in decimals."""
    if decimals == _BITS:
        return np.ascontiguousarray(values).view(np.int64)
    return np.rint(values * 10.0**decimals).astype(np.int64)


def _floats(whole: Ints, decimals: int) -> Floats:
    return whole.view(np.float64) if decimals == _BITS else whole / 10.0**decimals


def _expected(close: Floats, decimals: int) -> Ints:
    """Return what quotes are expected to be, as whole numbers: the closes."""
    if decimals == _BITS:
        return _whole(close, _BITS)
    return _whole(np.where(_near(close, decimals), close, 0.0), decimals)


def _near(values: Floats, decimals: int) -> Mask:
    """Tell which numbers are whole ones in decimals that a float holds exactly."""
    near: Mask = np.abs(values) < _EXACT / 10.0**decimals
    return near


def _before(column: Ints) -> Ints:
    """Return for each number the one before it, 0 for the first."""
    return np.concatenate((np.zeros(1, np.int64), column[:-1]))
