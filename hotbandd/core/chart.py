"""What is drawn of one instrument: its candles as bars, the metrics beside them, and the trades of its back-test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from hotbandd.core.candles import MINUTE_MS, Candles, Floats, Ints
from hotbandd.core.series import MetricColumns

HOURS_MAX: Final = 90 * 24
MOST_BARS: Final = 600  # more of them are too thin to be told apart
_WIDTHS_MIN: Final = (1, 5, 15, 30, 60, 240, 1440)
_DECIMALS: Final = 4


class Bars(Struct, frozen=True, kw_only=True):
    """Columns of equal length: open times of bars in UTC epoch ms, and their prices."""

    t: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]


class Metrics(Struct, frozen=True, kw_only=True):
    """Columns of equal length: stamps (closes) in UTC epoch ms, and the metrics there, None where they are not known."""

    t: list[int]
    C: list[float | None]
    S: list[float | None]
    H: list[float | None]
    R: list[float | None]


class Traded(Struct, frozen=True, kw_only=True):
    """One trade of the back-test; ``ret``: log return after cost."""

    side: str
    entry_ms: int
    exit_ms: int
    entry: float
    exit: float
    ret: float
    reason: str
    mae: float
    mfe: float


class Chart(Struct, frozen=True, kw_only=True):
    """What is drawn of an instrument over the last hours.

    ``trades``: all of the run that was last judged, however long ago; None where this process does not know them, and ``note`` says why.
    ``bounds``: what the metrics are held against, by their letters, None where it is not known.
    """

    instrument: str
    now: int
    hours: int
    minutes_per_bar: int
    bars: Bars
    metrics: Metrics
    bounds: dict[str, float | None]
    trades: list[Traded] | None
    tested_from: int | None
    tested_to: int | None
    param_key: str | None
    note: str | None


def bars(candles: Candles, most: int = MOST_BARS) -> tuple[Bars, int]:
    """Return candles as bars of so many minutes each that there are at most ``most`` of them, and how many minutes that is."""
    width, last = ends(candles.t, most)
    first = np.append(0, last[:-1] + 1) if len(last) else last
    high = np.maximum.reduceat(candles.high, first) if len(first) else candles.high
    low = np.minimum.reduceat(candles.low, first) if len(first) else candles.low
    made = Bars(
        t=candles.t[first].tolist(),
        open=candles.open[first].tolist(),
        high=high.tolist(),
        low=low.tolist(),
        close=candles.close[last].tolist(),
    )
    return made, width


def ends(t: Ints, most: int) -> tuple[int, Ints]:
    """Return the width of bars in minutes and the index of the last candle in each, wide enough that there are at most ``most``."""
    for width in _WIDTHS_MIN:
        last = np.flatnonzero(np.append(np.diff(t // (width * MINUTE_MS)) > 0, [True] * bool(len(t))))
        if len(last) <= most:
            break
    return width, last


def metrics(stamps: Ints, columns: MetricColumns, most: int = MOST_BARS) -> Metrics:
    """Return the metrics at the end of each bar."""
    _, last = ends(stamps - MINUTE_MS, most)
    return Metrics(
        t=stamps[last].tolist(),
        C=_known(columns.coherence[last]),
        S=_known(columns.stability[last]),
        H=_known(columns.entropy[last]),
        R=_known(columns.rupture[last]),
    )


def _known(values: Floats) -> list[float | None]:
    return [None if value != value else value for value in np.round(values, _DECIMALS).tolist()]  # noqa: PLR0124  NaN


def traded(rows: Sequence[Mapping[str, Any]]) -> list[Traded]:
    """Return trades out of the rows that ``backtest.trade_rows`` makes."""
    return [Traded(**row) for row in rows]
