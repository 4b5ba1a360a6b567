"""Spans: the last days of one run, each a slice of its trades by entry time, and whether its candles suffice to judge by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Floats, Ints
from hotbandd.core.documents import SpanSummary
from hotbandd.core.sessions import Calendar
from kernels import performance
from kernels.performance import Performance

SPANS: Final = (14, 30, 60)
JUDGED_SPAN: Final = 30
RECENT_SPAN: Final = 14
MIN_COVERAGE: Final = 0.8


class Figures(NamedTuple):
    """Per span (named by its days) its summary, and whether its candles suffice; ``integrity``: none has more trades than a longer one."""

    spans: dict[str, SpanSummary]
    sufficient: dict[str, bool]
    integrity: bool


def spans_of(days: int) -> tuple[int, ...]:
    """Return the spans, in days, that a run of some days is summed up by: SPANS as far as it reaches, and the one judged."""
    return tuple(sorted({span for span in SPANS if span <= days} | {min(JUDGED_SPAN, days)}))


def start_of(end_ms: int, days: int) -> int:
    """Return the first open time of candles on which a run or span of some days decides entries."""
    return end_ms - days * DAY_MS


class Ordered(Protocol):
    """Ascending numbers of which only the places of others among them are asked for, as an array tells them."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def searchsorted(self, v: Ints, /) -> Ints:
        """Return how many are less than each of others."""
        ...


def coverage(instrument: str, t: Ordered, end_ms: int, spans: Sequence[int], calendar: Calendar) -> dict[int, float]:
    """Return the share of each span's minutes, of those that close in an open session, which have a candle; 0 where none does.

    ``t``: open times of the candles, ascending, the last one closing at ``end_ms``.
    """
    if not spans:
        return {}
    starts = np.array([start_of(end_ms, days) for days in spans], dtype=np.int64)
    rows = calendar.openings(instrument, int(starts.min()) + MINUTE_MS, end_ms + MINUTE_MS) - MINUTE_MS
    opens, closes = np.maximum(rows[:, 0], starts[:, None]), np.minimum(rows[:, 1], end_ms)
    expected = np.maximum(closes - opens, 0).sum(axis=1) // MINUTE_MS
    first, last = t.searchsorted(starts), t.searchsorted(rows)
    within = np.maximum(last[:, 1] - np.maximum(last[:, 0], first[:, None]), 0).sum(axis=1)
    seen = within if calendar.enabled else len(t) - first
    shares = np.minimum(1.0, seen / np.maximum(expected, 1)) * (expected > 0)
    return dict(zip(spans, shares.tolist(), strict=True))


class Summed:
    """The last summary of each span: between most slots no trade comes, goes or changes."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[tuple[bytes, ...], Performance]] = {}

    def summary(self, ret: Floats, entry_ms: Ints, exit_ms: Ints, days: int) -> Performance:
        """Return what ``performance.summary`` does."""
        told = ret.tobytes(), entry_ms.tobytes(), exit_ms.tobytes()
        if days not in self._kept or self._kept[days][0] != told:
            self._kept[days] = told, performance.summary(ret, entry_ms, exit_ms, days * DAY_MS)
        return self._kept[days][1]


def figures(
    ret: Floats,
    entry_ms: Ints,
    exit_ms: Ints,
    end_ms: int,
    covered: Mapping[int, float],
    summed: Summed | None = None,
) -> Figures:
    """Sum each span's trades up; columns as in ``kernels.backtest.Trades``, ``covered`` as from ``coverage``.

    ``summed`` spares runs that follow each other what has not changed.
    """
    summed = summed or Summed()
    spans = {}
    for days in sorted(covered):
        inside = slice(int(np.searchsorted(entry_ms, start_of(end_ms, days))), None)
        found = summed.summary(ret[inside], entry_ms[inside], exit_ms[inside], days)
        spans[str(days)] = SpanSummary(**found._asdict(), coverage=covered[days])
    counts = [span.trades for span in spans.values()]
    return Figures(
        spans=spans,
        sufficient={days: span.coverage >= MIN_COVERAGE for days, span in spans.items()},
        integrity=counts == sorted(counts),
    )
