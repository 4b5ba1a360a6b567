"""The structure of a window's bits beside the four metrics: how they keep, where they turn, how slowly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.spectrum import low_frequency_share
from kernels.types import Bits, Floats
from kernels.windows import count

_FLAT = 1e-6  # slopes up to this size give no ratio


class Texture(NamedTuple):
    """Texture of w windows, float64[w].

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


def measure(bits: Bits, rupture: Floats, m: int = 128) -> Texture:
    """Measure the texture of each window of m bits; ``rupture`` is the R of the same windows, float64[w]."""
    size = max(0, len(bits) - m + 1)
    tau_1, tau_4 = _kept(bits, 1, m, size), _kept(bits, 4, m, size)
    tau_slope = (tau_4 - tau_1) / 3.0
    half = m // 2
    turns = bits[1:] ^ bits[:-1]
    wall_slope = _share(turns[half:], m - half, size) - _share(turns, half, size) if m >= 3 else np.zeros(size)
    return Texture(
        coherence_tau_1=tau_1,
        coherence_tau_4=tau_4,
        coherence_tau_slope=tau_slope,
        domain_wall_ratio=_share(turns, m, size),
        domain_wall_slope=wall_slope,
        spectral_lowf_share=low_frequency_share(bits, m),
        reynolds_ratio=_over(rupture, wall_slope),
        temporal_half_life=_over(np.full(size, np.log(2.0)), tau_slope),
        spatial_corr_length=_over(np.ones(size), wall_slope),
        pinned_alignment=np.ones(size),
    )


def _kept(bits: Bits, lag: int, m: int, size: int) -> Floats:
    """Return the share of bits of each window of m that equal the one ``lag`` before."""
    if m <= lag or not size:
        return np.zeros(size)
    return count(bits[lag:] == bits[:-lag], m - lag)[:size] / (m - lag)


def _share(turns: Bits, m: int, size: int) -> Floats:
    """Return the share of turns among the m - 1 pairs of m bits; 0 where there is none."""
    if m < 2 or not size:
        return np.zeros(size)
    return count(turns, m - 1)[:size] / (m - 1)


def _over(numerator: Floats, slope: Floats) -> Floats:
    steepness = np.abs(slope)
    return np.divide(numerator, steepness, out=np.zeros(len(slope)), where=steepness > _FLAT)
