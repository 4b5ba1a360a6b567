"""Signatures: the coarse likeness of a window, and how often it came again."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from hotbandd.core.candles import MINUTE_MS, Floats, Ints
from kernels.structure import Family


class Measured(Protocol):
    """Columns of at least coherence, stability and entropy, NaN where there is no window."""

    @property
    def coherence(self) -> Floats: ...  # noqa: D102
    @property
    def stability(self) -> Floats: ...  # noqa: D102
    @property
    def entropy(self) -> Floats: ...  # noqa: D102


def signatures(family: Family, metrics: Measured, *, precision: float, levels: int) -> list[str]:
    """Name the signature of each row: ``c2_s1_e3`` (steps of equal size) or ``c0.5_s0.9_e0.9`` (rounded); empty where there is no window."""
    steps = _steps(family, metrics, precision, levels)
    if family == "calibrated":
        texts = [str(step) for step in range(levels)]
    else:
        scale, digits = 10.0**precision, int(precision)
        texts = [f"{step / scale:.{digits}f}" for step in range(int(scale + 0.5) + 1)]
    rows = zip(*(column.tolist() for column in steps), strict=True)
    return [f"c{texts[c]}_s{texts[s]}_e{texts[e]}" if c >= 0 else "" for c, s, e in rows]


def signature_codes(family: Family, metrics: Measured, *, precision: int, levels: int) -> Ints:
    """Number the signature of each row, int64[n]: equal exactly where the signatures are; -1 where there is no window."""
    c, s, e = _steps(family, metrics, precision, levels)
    base = levels if family == "calibrated" else 10**precision + 1
    codes: Ints = np.where(c < 0, -1, (c * base + s) * base + e)
    return codes


def _steps(family: Family, metrics: Measured, precision: float, levels: int) -> tuple[Ints, Ints, Ints]:
    """Return the step of C, S and H of each row; -1 where there is no window."""
    known = np.isfinite(metrics.coherence)

    def steps(column: Floats) -> Any:
        value = np.clip(np.where(known, column, 0.0), 0.0, 1.0)
        if family == "calibrated":
            step = np.minimum(np.floor(value * levels), levels - 1)
        else:
            scaled = value * 10.0**precision
            whole = np.floor(scaled)
            step = whole + (scaled - whole >= 0.5)
        return np.where(known, step, -1.0).astype(np.int64)

    return steps(metrics.coherence), steps(metrics.stability), steps(metrics.entropy)


class Occurrence(NamedTuple):
    """How often a signature occurred up to a row, itself included, and the oldest stamp of those, ms."""

    times: int
    first_ms: int


def occurrences(names: Sequence[str], stamps_ms: Sequence[int], lookback_min: int) -> list[Occurrence]:
    """Count for each row, in the order given, the rows of its signature up to it whose stamp is at most the look-back before its own."""
    seen: dict[str, deque[int]] = defaultdict(deque)
    result = []
    for name, stamp in zip(names, stamps_ms, strict=True):
        before = seen[name]
        while before and before[0] < stamp - lookback_min * MINUTE_MS:
            before.popleft()
        before.append(stamp)
        result.append(Occurrence(len(before), before[0]))
    return result
