"""The native family: events and the damped path of encoded bits.

Pairs of neighbouring bits are events (00 null, 01 and 10 flip, 11 rupture), so entropy, rupture and the base of the coherence
are tables over (flips, ruptures). Every step works on one window alone, so a result never depends on its neighbours.

``single`` repeats the original's single-precision steps, on which its two-decimal signatures depend.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from kernels import path
from kernels import single as single_precision
from kernels.types import Bits, Floats, Ints, Structure
from kernels.windows import events

_ENTROPY_FLOOR = 0.05
_ENTROPY_UNIT = 1.585  # log2 3, as the original has it
_HEAD = 20  # bits whose entropy sets λ
_SHORT = 10  # windows up to this size have no path
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


def _paths(bits: Bits, m: int, *, single: bool) -> path.Paths:
    """Follow the path of each window of m > 10 bits; the entropy of its first bits sets its λ."""
    head = min(_HEAD, m)
    decays = _decays(head - 1, single=single)
    flips, ruptures = events(bits, head)
    size = len(bits) - m + 1
    return path.follow(bits, m, decays.rate, decays.row[flips[:size], ruptures[:size]])


def _with_path(base: Floats, paths: path.Paths, *, single: bool) -> Floats:
    """Blend base and likeness; a light path damps the blend."""
    light = paths.weight < _LIGHT
    if not single:
        blend = 0.7 * base + 0.3 * paths.likeness
        return np.where(light, blend / (1.0 + 0.1 * paths.weight), blend)
    f = np.float32
    mixed = (f(0.3) * paths.likeness.astype(f) + f(0.7) * base.astype(f)).astype(np.float64)
    damping = (f(1) / (f(1) + f(0.1) * paths.weight.astype(f))).astype(np.float64)
    return np.where(light, mixed * damping, mixed)
