"""Random draws that stay the same on every machine and numpy version: raw PCG64 words, turned into numbers here."""

from __future__ import annotations

import zlib

import numpy as np
from scipy.special import ndtri

from hotbandd.core.candles import Floats


class Draws:
    """A stream of draws for one (seed, instrument, purpose, index)."""

    def __init__(self, seed: int, instrument: str, purpose: str, index: int = 0) -> None:
        words = (seed, zlib.crc32(instrument.encode()), zlib.crc32(purpose.encode()), index)
        self._bits = np.random.PCG64(np.random.SeedSequence(words))

    def uniform(self, size: int) -> Floats:
        """Draw from the open interval (0, 1)."""
        words = np.atleast_1d(self._bits.random_raw(size))
        return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53

    def normal(self, size: int) -> Floats:
        """Draw from the standard normal distribution."""
        drawn: Floats = ndtri(self.uniform(size))
        return drawn
