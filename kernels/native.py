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
from kernels.path_tables import MEMORY, PathTables, Rates
from kernels.types import Bits, Floats, Ints, Structure
from kernels.windows import blocks, events

_ENTROPY_FLOOR = 0.05
_ENTROPY_UNIT = 1.585  # log2 3, as the original has it
_HEAD = 20  # bits whose entropy sets λ
_SHORT = 10  # windows up to this size have no path
_LIGHT = 2.0  # |end| of a path below which coherence is damped


def structure(bits: Bits, m: int, *, single: bool = False, decimals: int | None = None) -> Structure:
    """Measure each window of m bits, uint8[n, …]; a window of one bit holds no event, and is all zeros.

    ``decimals``: round every metric to so many.
    """
    size = max(0, len(bits) - m + 1)
    if m == 1 or not size:
        return Structure(*(np.zeros((size, *bits.shape[1:])) for _ in Structure._fields))
    found = np.empty((len(Structure._fields), size, *bits.shape[1:]))
    for block in blocks(size, bits[0].size):
        part = bits[block.start : block.stop + m - 1]
        for column, values in zip(found, _measured(part, m, single=single, decimals=decimals), strict=True):
            column[block] = values
    return Structure(*found)


def _measured(bits: Bits, m: int, *, single: bool, decimals: int | None) -> Structure:
    size = len(bits) - m + 1
    table = _event_table(m - 1, single=single)
    shown = table if decimals is None else _rounded_table(m - 1, decimals, single=single)
    head = min(_HEAD, m)
    (flips, ruptures), beginning = events(bits, (m, head), size)
    entry = flips * m + ruptures
    coherence = table.base.take(entry)
    if m > _SHORT:
        row = _decays(head - 1, single=single).row.take(beginning.flips * head + beginning.ruptures)
        paths = path.follow(bits, m, _path_tables(m, head - 1, single=single), row)
        coherence = _with_path(coherence, paths, single=single)
    np.clip(coherence, 0.0, 1.0, out=coherence)
    return Structure(
        coherence if decimals is None else coherence.round(decimals),
        shown.stability.take(ruptures),
        shown.entropy.take(entry),
        shown.rupture.take(ruptures),
    )


class _EventTable(NamedTuple):
    """Metrics among k pairs: by flips · (k + 1) + ruptures, float64[(k+1)²], where impossible pairs hold no meaning; by ruptures, float64[k+1]."""

    entropy: Floats
    base: Floats
    rupture: Floats
    stability: Floats


@lru_cache(maxsize=256)
def _event_table(k: int, *, single: bool) -> _EventTable:
    kind: Any = np.float32 if single else np.float64
    share = (np.arange(k + 1) / k).astype(kind)
    floor, unit = float(kind(_ENTROPY_FLOOR)), float(kind(_ENTROPY_UNIT))
    entropy = np.clip(_information(k, single=single) / unit, floor, 1.0)
    f, r, one = share[:, None], share[None, :], kind(1)
    base = ((1.0 - entropy).astype(kind) * kind(0.6) + (one - r) * kind(0.3)) + (one - f) * kind(0.1)
    base = np.clip(base, kind(0.01), kind(0.99))
    rupture = share.astype(np.float64)
    return _EventTable(entropy.ravel(), base.astype(np.float64).ravel(), rupture, 1.0 - rupture)


@lru_cache(maxsize=256)
def _rounded_table(k: int, decimals: int, *, single: bool) -> _EventTable:
    return _EventTable(*(np.round(column, decimals) for column in _event_table(k, single=single)))


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
    """The values of λ that windows can have, and the row of each among k pairs of first bits, by flips · (k + 1) + ruptures."""

    rates: Rates
    row: Ints


@lru_cache(maxsize=64)
def _decays(k: int, *, single: bool) -> _Decays:
    entropy = np.clip(_information(k, single=single) / _ENTROPY_UNIT, _ENTROPY_FLOOR, 1.0)
    rate = np.clip(0.30 * entropy + 0.20 * entropy, 0.01, 1.0)
    flips, ruptures = np.ogrid[: k + 1, : k + 1]
    nulls = k - flips - ruptures
    possible = nulls >= 0
    rates, found = np.unique(np.round(rate[possible], 15), return_inverse=True)
    # Before the first flip all pairs are of one kind; without a flip the first bits say nothing of where it comes.
    alike = np.where(flips > 0, np.maximum(nulls, ruptures) + 1.0, np.inf)
    latest = np.zeros(len(rates))
    np.maximum.at(latest, found, alike[possible])
    order = np.argsort(-(latest + MEMORY / rates), kind="stable")
    row = np.zeros((k + 1, k + 1), dtype=np.int64)
    row[possible] = np.argsort(order)[found]
    return _Decays(Rates(rates[order], latest[order]), row.ravel())


@lru_cache(maxsize=16)
def _path_tables(m: int, k: int, *, single: bool) -> PathTables:
    return PathTables(m, _decays(k, single=single).rates)


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
