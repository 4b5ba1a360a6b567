"""The native family: events and the damped path of encoded bits.

Pairs of neighbouring bits are events (00 null, 01 and 10 flip, 11 rupture), so entropy, rupture and the base of the coherence
are tables over (flips, ruptures). The path p of a window damps its bits by e^{-λk}; its sums are linear or quadratic in the bits, and are taken
eight bits at a time from tables over (λ, octet). Every step works on one window alone, so a result never depends on its neighbours.

``single`` repeats the original's single-precision steps, on which its two-decimal signatures depend.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from kernels import single as single_precision
from kernels.types import Bits, Floats, Ints, Structure
from kernels.windows import BLOCK, events, octets

_ENTROPY_FLOOR = 0.05
_ENTROPY_UNIT = 1.585  # log2 3, as the original has it
_HEAD = 20  # bits whose entropy sets λ
_SHORT = 10  # windows up to this size have no path
_SHAPE_DECAY = 0.1
_LIGHT = 2.0  # |end| of a path below which coherence is damped


def structure(bits: Bits, m: int, *, single: bool = False) -> Structure:
    """Measure each window of m bits; a window of one bit holds no event, and is all zeros."""
    size = max(0, len(bits) - m + 1)
    if m == 1 or not size:
        return Structure(*(np.zeros(size) for _ in Structure._fields))
    table = _event_table(m - 1, single=single)
    flips, ruptures = events(bits, m)
    entropy, rupture = table.entropy[flips, ruptures], table.rupture[ruptures]
    coherence = table.base[flips, ruptures]
    if m > _SHORT:
        coherence = _with_path(coherence, _paths(bits, m, single=single), single=single)
    return Structure(np.clip(coherence, 0.0, 1.0), 1.0 - rupture, entropy, rupture)


class _EventTable(NamedTuple):
    """Metrics by (flips, ruptures) among k pairs, float64[k+1, k+1]; rupture float64[k+1]. Impossible pairs hold no meaning."""

    entropy: Floats
    rupture: Floats
    base: Floats


@lru_cache(maxsize=256)
def _event_table(k: int, *, single: bool) -> _EventTable:
    kind: Any = np.float32 if single else np.float64
    share = (np.arange(k + 1) / k).astype(kind)
    floor, unit = float(kind(_ENTROPY_FLOOR)), float(kind(_ENTROPY_UNIT))
    entropy = np.clip(_information(k, single=single) / unit, floor, 1.0)
    f, r, one = share[:, None], share[None, :], kind(1)
    base = ((1.0 - entropy).astype(kind) * kind(0.6) + (one - r) * kind(0.3)) + (one - f) * kind(0.1)
    base = np.clip(base, kind(0.01), kind(0.99))
    return _EventTable(entropy, share.astype(np.float64), base.astype(np.float64))


def _information(k: int, *, single: bool) -> Floats:
    """Return -Σ p·log2 p of k pairs by (flips, ruptures), float64[k+1, k+1]."""
    kind: Any = np.float32 if single else np.float64
    share = (np.arange(k + 1) / k).astype(kind)
    term = np.zeros(k + 1, dtype=kind)
    term[1:] = share[1:] * (single_precision.log2(share[1:]) if single else np.log2(share[1:]))
    flips, ruptures = np.ogrid[: k + 1, : k + 1]
    nulls = np.maximum(k - flips - ruptures, 0)
    total: Floats = ((term[nulls] + term[flips]) + term[ruptures]).astype(np.float64)
    return -total


class _Decays(NamedTuple):
    """The distinct λ of windows, ascending, and the row of each (flips, ruptures) among the k pairs of their first bits."""

    rate: Floats
    row: Ints


@lru_cache(maxsize=256)
def _decays(k: int, *, single: bool) -> _Decays:
    entropy = np.clip(_information(k, single=single) / _ENTROPY_UNIT, _ENTROPY_FLOOR, 1.0)
    rate = np.clip(0.30 * entropy + 0.20 * entropy, 0.01, 1.0)
    rate, row = np.unique(np.round(rate, 15), return_inverse=True)
    return _Decays(rate, row.reshape(k + 1, k + 1))


class _Sums(NamedTuple):
    """Sums over the steps 1 … m-1 of paths that start at 0: end, Σq, Σq², Σjq, Σe^{-0.1j}q, Σ sin(2πj/m)·q; float64[w]."""

    end: Floats
    plain: Floats
    square: Floats
    ramp: Floats
    decay: Floats
    sine: Floats


class _Paths(NamedTuple):
    """Of each window: its best likeness to a known shape, in [0, 1], and |V|, where its path ends."""

    likeness: Floats
    weight: Floats


def _paths(bits: Bits, m: int, *, single: bool) -> _Paths:
    """Follow the path of each window of m > 10 bits."""
    head = min(_HEAD, m)
    decays = _decays(head - 1, single=single)
    flips, ruptures = events(bits, head)
    size = len(bits) - m + 1
    used, row = np.unique(decays.row[flips[:size], ruptures[:size]], return_inverse=True)
    tables = _tables(decays.rate[used], m)
    packed = octets(bits)
    parts = []
    for i in range(0, size, BLOCK):
        block = slice(i, min(i + BLOCK, size))
        parts.append(_likeness(bits[block], _sums(packed, row[block], tables, i), m))
    return _Paths(*(np.concatenate(column) for column in zip(*parts, strict=True)))


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


def _likeness(first: Bits, sums: _Sums, m: int) -> _Paths:
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
    return _Paths(np.clip(best, 0.0, 1.0), np.abs(end))


def _cosine(dot: Floats, norm: Floats, other: Floats) -> Floats:
    scale = norm * other
    return np.divide(dot, scale, out=np.zeros(len(dot)), where=scale > 0.0)


def _with_path(base: Floats, paths: _Paths, *, single: bool) -> Floats:
    """Blend base and likeness; a light path damps the blend."""
    light = paths.weight < _LIGHT
    if not single:
        blend = 0.7 * base + 0.3 * paths.likeness
        return np.where(light, blend / (1.0 + 0.1 * paths.weight), blend)
    f = np.float32
    mixed = (f(0.3) * paths.likeness.astype(f) + f(0.7) * base.astype(f)).astype(np.float64)
    damping = (f(1) / (f(1) + f(0.1) * paths.weight.astype(f))).astype(np.float64)
    return np.where(light, mixed * damping, mixed)
