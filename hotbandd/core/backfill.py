"""What of the history is missing."""

from __future__ import annotations

import numpy as np

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Ints

QUIET_MS = 10 * MINUTE_MS  # a shorter silence is a minute without a quote, not a hole
CHUNK_MS = 3 * DAY_MS  # under 5 000 minutes, a page of the source


def missing_ranges(t: Ints, openings: Ints) -> list[tuple[int, int]]:
    """Return the ranges [start, end) of open hours that hold no candle, newest first, at most three days each.

    ``t`` int64[n] open times that are there, ascending; ``openings`` int64[k, 2] open hours [start, end), ascending; UTC epoch ms.
    """
    ranges: list[tuple[int, int]] = []
    for opens, closes in openings.tolist():
        there = t[np.searchsorted(t, opens) : np.searchsorted(t, closes)]
        edges = np.concatenate(([opens - MINUTE_MS], there, [closes]))
        for hole in np.flatnonzero(np.diff(edges) > QUIET_MS).tolist():
            ranges.extend(_chunks(int(edges[hole]) + MINUTE_MS, int(edges[hole + 1])))
    return sorted(ranges, reverse=True)


def _chunks(start: int, end: int) -> list[tuple[int, int]]:
    return [(at, min(at + CHUNK_MS, end)) for at in range(start, end, CHUNK_MS)]
