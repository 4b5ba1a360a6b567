"""The damped path of a window's bits: where it ends, and how like it is to known shapes.

p_0 = b_0, p_j = Σ_{k=1..j} (b_k - b_0)·e^{-λk}. Its sums are linear or quadratic in the bits, and are taken eight bits at a time
from tables over (λ, octet).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.types import Bits, Floats, Ints
from kernels.windows import BLOCK, octets

_SHAPE_DECAY = 0.1


class Paths(NamedTuple):
    """Of each window: its best likeness to a known shape, in [0, 1], and |V|, where its path ends."""

    likeness: Floats
    weight: Floats


def follow(bits: Bits, m: int, rate: Floats, row: Ints) -> Paths:
    """Follow the path of each window of m >= 3 bits; ``rate`` the values of λ, ``row`` which of them each window has, int64[w]."""
    used, row = np.unique(row, return_inverse=True)
    tables = _tables(rate[used], m)
    packed = octets(bits)
    parts = []
    for i in range(0, len(row), BLOCK):
        block = slice(i, min(i + BLOCK, len(row)))
        parts.append(_likeness(bits[block], _sums(packed, row[block], tables, i), m))
    return Paths(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class _Sums(NamedTuple):
    """Sums over the steps 1 … m-1 of paths that start at 0: end, Σq, Σq², Σjq, Σe^{-0.1j}q, Σ sin(2πj/m)·q; float64[w]."""

    end: Floats
    plain: Floats
    square: Floats
    ramp: Floats
    decay: Floats
    sine: Floats


class _Columns(NamedTuple):
    """Columns of the tables: what one octet adds to each sum of ``_Sums``, and twice its own Σ c_j, c_j its damped sum up to bit j."""

    end: int
    plain: int
    square: int
    ramp: int
    decay: int
    sine: int
    twice: int


_AT = _Columns(*range(7))


class _Tables(NamedTuple):
    """For each octet of the steps 1 … ``steps``, a table by row of λ and value of the octet, float64[octets, rows · 256, 7]."""

    steps: int
    octets: Floats


def _tables(rate: Floats, m: int) -> _Tables:
    """Tabulate what eight bits add to the sums of a path, wherever in the window they stand.

    Built by doubling: a value with one more bit adds that bit's share. Bits past the last step have none.
    """
    steps = m - 1
    octets = -(-steps // 8)
    rest = np.zeros((octets * 8, len(_AT)))
    rest[:steps] = _rest(m)
    follows = np.tri(8, dtype=np.float64).T * (np.arange(1, octets * 8 + 1) <= steps).reshape(octets, 1, 8)
    damping = np.exp(-np.outer(np.arange(1, octets * 8 + 1), rate)).reshape(octets, 8, len(rate), 1, 1)
    table = np.zeros((octets, len(rate), 256, len(_AT)))
    inner = np.zeros((octets, len(rate), 256, 8))
    for r in range(8):
        old, new = slice(0, 1 << r), slice(1 << r, 2 << r)
        table[:, :, new] = table[:, :, old] + damping[:, r] * rest[r::8, None, None, :]
        inner[:, :, new] = inner[:, :, old] + damping[:, r] * follows[:, r, None, None, :]
    table[..., _AT.square] = np.square(inner).sum(axis=3)
    table[..., _AT.twice] = 2.0 * inner.sum(axis=3)
    return _Tables(steps, table.reshape(octets, -1, len(_AT)))


def _rest(m: int) -> Floats:
    """Return what a bit at each step adds to the linear sums, undamped: the weights of the steps from it on, float64[m-1, 7]."""
    j = np.arange(1, m, dtype=np.float64)
    rest = np.zeros((m - 1, len(_AT)))
    rest[:, _AT.end] = 1.0
    weights = {
        _AT.plain: np.ones(m - 1),
        _AT.ramp: j,
        _AT.decay: np.exp(-_SHAPE_DECAY * j),
        _AT.sine: np.sin(2.0 * np.pi * j / m),
    }
    for column, weight in weights.items():
        rest[:, column] = np.cumsum(weight[::-1])[::-1]
    return rest


def _sums(packed: Bits, row: Ints, tables: _Tables, start: int) -> _Sums:
    """Sum the paths of a block of windows from ``start`` on, octet by octet.

    A window that begins with 1 is read with its bits turned over: its path is 1 at step 0 and the mirrored path after it.
    """
    stop = start + len(row)
    turn = (packed[start:stop] & 1) * np.uint8(255)
    first = row * 256
    total = np.zeros((len(row), len(_Columns._fields)))
    step, cross = np.empty_like(total), np.empty(len(row))
    end, square, twice = total[:, _AT.end], total[:, _AT.square], step[:, _AT.twice]
    for k, table in enumerate(tables.octets):
        offset = 1 + 8 * k
        octet = packed[start + offset : stop + offset] ^ turn
        table.take(first + octet, axis=0, out=step, mode="clip")
        np.multiply(end, min(8.0, tables.steps - 8.0 * k), out=cross)
        cross += twice
        cross *= end
        square += cross
        total += step
    return _Sums(*(total[:, column] for column in _AT[:6]))


def _likeness(first: Bits, sums: _Sums, m: int) -> Paths:
    """Compare paths with their decay, their chord and a sine between their ends."""
    start = first.astype(np.float64)
    sign = 1.0 - 2.0 * start
    end, plain, ramp = sign * sums.end, start + sign * sums.plain, sign * sums.ramp
    norm = np.sqrt(start + sums.square)
    k = m - 1
    i = np.arange(m)
    decay = _cosine(start * (start + sign * sums.decay), norm, start * np.sqrt(np.exp(-2.0 * _SHAPE_DECAY * i).sum()))
    slope = (end - start) / k
    chord_norm = np.sqrt(m * start * start + slope * (start * (k * m) + slope * (k * m * (2 * k + 1) / 6.0)))
    chord = _cosine(start * plain + slope * ramp, norm, chord_norm)
    middle, swing = (start + end) / 2.0, (end - start) / 2.0
    wave_norm = np.sqrt(m * (middle * middle + swing * swing / 2.0))
    wave = _cosine(middle * plain + swing * sign * sums.sine, norm, wave_norm)
    best = np.maximum(np.maximum(decay, chord), wave)
    return Paths(np.clip(best, 0.0, 1.0), np.abs(end))


def _cosine(dot: Floats, norm: Floats, other: Floats) -> Floats:
    scale = norm * other
    return np.divide(dot, scale, out=np.zeros(len(dot)), where=scale > 0.0)
