"""Single-precision base-2 logarithm as the GNU C library computes it.

numpy's own float32 logarithm, and the rounded double one, differ from it in the last place for some arguments.
Source: log2f of ARM's optimized routines, in glibc since 2.28 (table of 16 intervals, polynomial of degree 4, in double precision).
"""

from __future__ import annotations

import numpy as np

from kernels.types import Singles

_OFFSET = 0x3F330000
_INVERSE = np.array(
    [
        float.fromhex(x)
        for x in (
            "0x1.661ec79f8f3bep+0",
            "0x1.571ed4aaf883dp+0",
            "0x1.49539f0f010bp+0",
            "0x1.3c995b0b80385p+0",
            "0x1.30d190c8864a5p+0",
            "0x1.25e227b0b8eap+0",
            "0x1.1bb4a4a1a343fp+0",
            "0x1.12358f08ae5bap+0",
            "0x1.0953f419900a7p+0",
            "0x1p+0",
            "0x1.e608cfd9a47acp-1",
            "0x1.ca4b31f026aap-1",
            "0x1.b2036576afce6p-1",
            "0x1.9c2d163a1aa2dp-1",
            "0x1.886e6037841edp-1",
            "0x1.767dcf5534862p-1",
        )
    ]
)
_LOGARITHM = np.array(
    [
        float.fromhex(x)
        for x in (
            "-0x1.efec65b963019p-2",
            "-0x1.b0b6832d4fca4p-2",
            "-0x1.7418b0a1fb77bp-2",
            "-0x1.39de91a6dcf7bp-2",
            "-0x1.01d9bf3f2b631p-2",
            "-0x1.97c1d1b3b7afp-3",
            "-0x1.2f9e393af3c9fp-3",
            "-0x1.960cbbf788d5cp-4",
            "-0x1.a6f9db6475fcep-5",
            "0x0p+0",
            "0x1.338ca9f24f53dp-4",
            "0x1.476a9543891bap-3",
            "0x1.e840b4ac4e4d2p-3",
            "0x1.40645f0c6651cp-2",
            "0x1.88e9c2c1b9ff8p-2",
            "0x1.ce0a44eb17bccp-2",
        )
    ]
)
_A0, _A1, _A2, _A3 = (
    float.fromhex(x)
    for x in ("-0x1.712b6f70a7e4dp-2", "0x1.ecabf496832ep-2", "-0x1.715479ffae3dep-1", "0x1.715475f35c8b8p0")
)


def log2(x: Singles) -> Singles:
    """Return log2 of positive normal numbers, float32[n], to the last bit as glibc does."""
    bits = x.view(np.int32)
    shifted = bits - np.int32(_OFFSET)
    interval = (shifted >> 19) & 15
    exponent = shifted >> 23
    mantissa = (bits - (exponent << 23)).view(np.float32).astype(np.float64)
    r = mantissa * _INVERSE[interval] - 1.0
    r2 = r * r
    tail = (_A0 * r2 + (_A1 * r + _A2)) * r2
    result: Singles = (tail + (_A3 * r + (_LOGARITHM[interval] + exponent))).astype(np.float32)
    return result
