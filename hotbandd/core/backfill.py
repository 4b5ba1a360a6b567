"""What of the history is missing, and what became of fetching it."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from hotbandd.core import intervals
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Ints
from hotbandd.core.sessions import Calendar
from hotbandd.core.units import Count, Millis, Name

QUIET_MS = 10 * MINUTE_MS  # a shorter silence is a minute without a quote, not a hole
CHUNK_MS = 3 * DAY_MS  # under 5 000 minutes, a page of the source
LONGEST_DAYS = 3650


class Fetched(Struct, frozen=True, kw_only=True):
    """What became of a fetch."""

    instrument: Name
    granularity: str
    count: Annotated[Count, Meta(description="Candles asked for: so many minutes of an open market.")]
    stored: Annotated[Count, Meta(description="Candles stored; minutes without a quote have none.")]
    t0_ms: Annotated[Millis | None, Meta(description="Open of the first stored candle, UTC epoch, ms.")]
    t1_ms: Annotated[Millis | None, Meta(description="Open of the last stored candle, UTC epoch, ms.")]
    refused: Annotated[dict[str, Count], Meta(description="Candles that could not be stored, by reason.")]


def since(calendar: Calendar, count: int, now: int) -> int:
    """Return the first of the last ``count`` minutes of an open market, UTC epoch ms."""
    left = count * MINUTE_MS
    openings = calendar.week_openings(now - 2 * left - 7 * DAY_MS, now)
    for opens, closes in reversed(intervals.clipped(openings, 0, now).tolist()):
        left -= closes - opens
        if left <= 0:
            return int(opens - left) // MINUTE_MS * MINUTE_MS
    return (now - LONGEST_DAYS * DAY_MS) // MINUTE_MS * MINUTE_MS


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
