"""The structure of a window's bits beside the four metrics: how they keep, where they turn, how slowly.

All but the spectrum follows from counts, and is looked up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from kernels.spectrum import low_frequency_share
from kernels.types import Bits, Floats
from kernels.windows import blocks, prefix, spanned

_FLAT = 1e-6  # slopes up to this size give no ratio
_LAG = 4
_LATER = np.zeros(1)


class Texture(NamedTuple):
    """Texture of w windows, float64[w, …].

    tau_k: share of bits equal to the bit k before; domain walls: neighbouring pairs that differ; slopes: per lag, and of the second half
    against the first. Ratios are 0 where their divisor is at most 1e-6.
    """

    coherence_tau_1: Floats
    coherence_tau_4: Floats
    coherence_tau_slope: Floats
    domain_wall_ratio: Floats
    domain_wall_slope: Floats
    spectral_lowf_share: Floats
    reynolds_ratio: Floats
    temporal_half_life: Floats
    spatial_corr_length: Floats
    pinned_alignment: Floats


_SPECTRUM = Texture._fields.index("spectral_lowf_share")


def measure(bits: Bits, rupture: Floats, m: int = 128, *, decimals: int | None = None) -> Texture:
    """Measure the texture of each window of m bits, uint8[n, …]; ``rupture`` is the R of the same windows, float64[w, …].

    ``decimals``: round every metric to so many.
    """
    size = max(0, len(bits) - m + 1)
    found = np.zeros((len(Texture._fields), size, *bits.shape[1:]))
    if m > 1:
        for block in blocks(size, bits[0].size if size else 1):
            part = _measured(bits[block.start : block.stop + m - 1], rupture[block], m, decimals)
            for column, values in zip(found, part, strict=False):
                column[block] = values
        spectrum = low_frequency_share(bits, m)
        found[_SPECTRUM] = spectrum if decimals is None else spectrum.round(decimals)
    found[-1] = 1.0  # pinned alignment
    return Texture(*found)


def _measured(bits: Bits, rupture: Floats, m: int, decimals: int | None) -> tuple[Floats, ...]:
    """Measure all that counts tell."""
    size = len(bits) - m + 1
    table = _table(m, decimals)
    half = m // 2
    walls = prefix(bits[1:] ^ bits[:-1])
    turns = spanned(walls, m - 1, size)
    kept = spanned(prefix(bits[_LAG:] == bits[:-_LAG]), m - _LAG, size) if m > _LAG else np.zeros_like(turns)
    lags = turns * (max(0, m - _LAG) + 1) + kept
    later = spanned(walls, max(0, m - half - 1), size, start=half)
    halves = spanned(walls, max(0, half - 1), size) * (m - half) + later
    reynolds = rupture / table.steepness.take(halves)
    return (
        table.tau_1.take(turns),
        table.tau_4.take(kept),
        table.tau_slope.take(lags),
        table.walls.take(turns),
        table.wall_slope.take(halves),
        _LATER,
        reynolds if decimals is None else reynolds.round(decimals),
        table.half_life.take(lags),
        table.corr_length.take(halves),
    )


class _Table(NamedTuple):
    """Metrics by count: by turns; by bits kept over four; by (turns, kept); by turns of the (first, second) half."""

    tau_1: Floats
    walls: Floats
    tau_4: Floats
    tau_slope: Floats
    half_life: Floats
    wall_slope: Floats
    corr_length: Floats
    steepness: Floats  # size of the wall slope, infinite where it gives no ratio


@lru_cache(maxsize=64)
def _table(m: int, decimals: int | None) -> _Table:
    pairs, fours = m - 1, max(0, m - _LAG)
    turns = np.arange(pairs + 1)
    tau_1, walls = (pairs - turns) / pairs, turns / pairs
    tau_4 = np.arange(fours + 1) / max(1, fours)
    tau_slope = (tau_4[None, :] - tau_1[:, None]).ravel() / 3.0
    half = m // 2
    first, second = (np.arange(n) / max(1, n - 1) for n in (max(1, half), m - half))
    wall_slope = (second[None, :] - first[:, None]).ravel()
    table = _Table(
        tau_1,
        walls,
        tau_4,
        tau_slope,
        _over(np.log(2.0), tau_slope),
        wall_slope,
        _over(1.0, wall_slope),
        np.where(np.abs(wall_slope) > _FLAT, np.abs(wall_slope), np.inf),
    )
    if decimals is None:
        return table
    shown = _Table(*(np.round(column, decimals) for column in table))
    return shown._replace(steepness=table.steepness)


def _over(numerator: float, slope: Floats) -> Floats:
    steepness = np.abs(slope)
    return np.divide(numerator, steepness, out=np.zeros(len(slope)), where=steepness > _FLAT)
