"""The damped path of a window's bits: where it ends, and how like it is to known shapes.

p_0 = b_0, p_j = Σ_{k=1..j} (b_k - b_0)·e^{-λk}. Its sums are linear or quadratic in the bits, and are taken eight bits at a time
from tables over (λ, octet). A path stops to move 26/λ steps after the first bit that differs (it has 1e-11 of its way to go): octets past
that are left out, by λ alone, so that a window's result never depends on the windows beside it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from kernels.path_tables import SHAPE_DECAY, PathTables
from kernels.types import Bits, Floats, Ints
from kernels.windows import octets

_LEAST = 1e-300
_MOST = np.uint8(255)
_TURN = (np.arange(256) & 1).astype(np.uint8) * np.uint8(255)  # by an octet that begins with the window's first bit
_FEW = 256  # up to so many windows, all octets of all of them are looked up at once


class Paths(NamedTuple):
    """Of each window: its best likeness to a known shape, in [0, 1], and |V|, where its path ends; float64[w, …]."""

    likeness: Floats
    weight: Floats


class _Sums(NamedTuple):
    """Sums over the steps 1 … m-1 of paths that start at 0: end, Σq², Σq, Σjq, Σe^{-0.1j}q, Σ sin(2πj/m)·q; float64[w]."""

    end: Floats
    square: Floats
    plain: Floats
    ramp: Floats
    decay: Floats
    sine: Floats


def follow(bits: Bits, m: int, tables: PathTables, row: Ints) -> Paths:
    """Follow the path of each window of m >= 3 bits, uint8[n, …]; ``row`` says which of the rates each window has, int64[w, …]."""
    stride = bits[0].size
    flat, rows = bits.reshape(-1), row.reshape(-1)
    tables.fill(rows)
    packed = octets(flat, stride)
    followed = _few if len(rows) <= _FEW else _many
    found = followed(flat, packed, rows, tables, stride)
    return Paths(*(column.reshape(row.shape) for column in found))


def _many(flat: Bits, packed: Bits, rows: Ints, tables: PathTables, stride: int) -> Paths:
    """Follow windows, those that need most octets first, and put the results back in their places."""
    row = rows * 256
    needed = tables.octets.take(row + _turned(packed, np.arange(len(rows)), 0, stride), mode="clip")
    at = np.argsort(_MOST - needed, kind="stable")
    sums = _summed(packed, at, row[at], needed[at], tables, stride)
    found = Paths(np.empty(len(rows)), np.empty(len(rows)))
    for whole, part in zip(found, _likeness(flat[at], sums, tables.m), strict=True):
        whole[at] = part
    return found


def _turned(packed: Bits, at: Ints, number: int | Ints, stride: int) -> Bits:
    """Return an octet of the steps of windows.

    A window that begins with 1 is read with its bits turned over: its path is 1 at step 0 and the mirrored path after it.
    """
    octet: Bits = packed.take(at + (1 + 8 * number) * stride, mode="clip") ^ _TURN.take(packed.take(at))
    return octet


def _summed(packed: Bits, at: Ints, row: Ints, needed: Bits, tables: PathTables, stride: int) -> _Sums:
    """Sum the paths of windows octet by octet, as many as each of them needs."""
    turn = _TURN.take(packed.take(at))
    sums = _Sums(*np.zeros((len(_Sums._fields), len(at))))
    for j, count in enumerate(_reached(needed)):
        upto = slice(0, count)
        entry = row[upto] + (packed.take(at[upto] + (1 + 8 * j) * stride) ^ turn[upto])
        entry += tables.starts[j]
        _add_octet(_Sums(*(column[upto] for column in sums)), entry, tables, tables.lengths[j])
    return _rested(sums, needed, tables)


def _reached(needed: Bits) -> list[int]:
    """Return how many windows need octet 0, 1, …"""
    counts = np.bincount(needed)
    return [int(count) for count in np.cumsum(counts[::-1])[::-1][1:]]


def _add_octet(sums: _Sums, entry: Ints, tables: PathTables, length: float) -> None:
    columns = tables.columns
    step = np.empty(len(entry))

    def looked_up(values: Floats) -> Floats:
        return values.take(entry, out=step, mode="clip")

    cross = sums.end * length
    cross += looked_up(columns.twice)
    cross *= sums.end
    cross += looked_up(columns.square)
    np.add(sums.square, cross, out=sums.square)
    for total, values in (
        (sums.end, columns.end),
        (sums.plain, columns.plain),
        (sums.ramp, columns.ramp),
        (sums.decay, columns.decay),
        (sums.sine, columns.sine),
    ):
        np.add(total, looked_up(values), out=total)


def _few(flat: Bits, packed: Bits, rows: Ints, tables: PathTables, stride: int) -> Paths:
    """Follow windows with all their octets side by side, in the very order of additions of ``_summed``."""
    at, row = np.arange(len(rows)), rows * 256
    octets_needed = tables.octets.take(row + _turned(packed, at, 0, stride))
    number = np.arange(int(octets_needed.max()))[:, None]
    needed = number < octets_needed
    entry = np.where(
        needed, tables.starts[number] + row + _turned(packed, at, number, stride), 0
    )  # entry 0 adds nothing
    end, square, plain, ramp, decay, sine, twice = (values.take(entry, mode="clip") for values in tables.columns)
    ends = np.add.accumulate(end, axis=0)
    before = np.zeros_like(ends)
    before[1:] = ends[:-1]
    cross = before * np.where(needed, tables.lengths[number], 0.0)
    cross += twice
    cross *= before
    cross += square
    linear = (np.add.accumulate(column, axis=0)[-1] for column in (plain, ramp, decay, sine))
    sums = _Sums(ends[-1], np.add.accumulate(cross, axis=0)[-1], *linear)
    return _likeness(flat[: len(rows)], _rested(sums, octets_needed, tables), tables.m)


def _rested(sums: _Sums, needed: Bits, tables: PathTables) -> _Sums:
    """Add the squares of the steps past the last octet, where the path stands still."""
    rest = tables.rest.take(needed) * sums.end
    rest *= sums.end
    return sums._replace(square=sums.square + rest)


class _Shapes(NamedTuple):
    """Constants of the shapes in windows of m bits: norm of the decay; Σ1, Σj, Σj² over the steps."""

    decay_norm: float
    steps: float
    ramp: float
    ramp_square: float


@lru_cache(maxsize=64)
def _shapes(m: int) -> _Shapes:
    k = m - 1
    norm = float(np.sqrt(np.exp(-2.0 * SHAPE_DECAY * np.arange(m)).sum()))
    return _Shapes(norm, float(m), k * m / 2.0, k * m * (2 * k + 1) / 6.0)


def _likeness(first: Bits, sums: _Sums, m: int) -> Paths:
    """Compare paths with their decay, their chord and a sine between their ends."""
    shapes = _shapes(m)
    start = first.astype(np.float64)
    sign = 1.0 - 2.0 * start
    end, plain, ramp = sign * sums.end, start + sign * sums.plain, sign * sums.ramp
    norm = np.sqrt(start + sums.square)
    slope = (end - start) / (m - 1)
    middle, swing = (start + end) / 2.0, (end - start) / 2.0
    decay = start * (start + sign * sums.decay) / shapes.decay_norm
    chord_norm = shapes.steps * start + slope * (start * (2.0 * shapes.ramp) + slope * shapes.ramp_square)
    chord = _over(start * plain + slope * ramp, np.sqrt(chord_norm))
    wave_norm = shapes.steps * (middle * middle + swing * swing / 2.0)
    wave = _over(middle * plain + swing * sign * sums.sine, np.sqrt(wave_norm))
    best = _over(np.maximum(np.maximum(decay, chord), wave), norm)
    return Paths(np.clip(best, 0.0, 1.0), np.abs(end))


def _over(dot: Floats, norm: Floats) -> Floats:
    """Divide; a dot product with a norm of 0 is 0 itself."""
    return dot / np.maximum(norm, _LEAST)
