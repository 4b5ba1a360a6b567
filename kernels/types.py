"""Arrays and names that every kernel shares."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]

Family = Literal["calibrated", "native"]


class Structure(NamedTuple):
    """Metrics of w windows, float64[w], each in [0, 1]: coherence, stability, entropy, rupture."""

    coherence: Floats
    stability: Floats
    entropy: Floats
    rupture: Floats
