"""Local market hours as UTC intervals: daily windows, the FX week and its holidays.

All intervals are int64[k, 2] of UTC epoch ms, [open, close), as in ``intervals``. Local times come from the IANA zones, so daylight
saving is right on its first and last day too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from hotbandd.core import intervals
from hotbandd.core.candles import Ints

DAY_MINUTES = 1440

_NEW_YORK = "America/New_York"
_WEEK_TURN = 17 * 60  # the trading day turns at 17:00 New York
_SUNDAY, _WEEK_DAYS = 6, 5
_HOLIDAYS = ((12, 25), (1, 1))
_MARGIN = timedelta(days=10)  # longer than any opening, so that none is cut at the turn of a year


class Window(NamedTuple):
    """A daily session: zone, and local minutes of the day, start inclusive, end exclusive; an end past 1440 is on the next day."""

    zone: str
    start: int
    end: int


def openings(windows: frozenset[Window] | None, start_ms: int, end_ms: int) -> Ints:
    """Return the uninterrupted openings that share a moment with [start, end), each whole.

    ``windows`` are united, then clipped by the FX week without its holidays; None is that week alone.
    """
    first, last = _year(start_ms), _year(max(start_ms, end_ms))
    return intervals.touching(_openings(windows, first, last), start_ms, end_ms)


@lru_cache(maxsize=256)
def _openings(windows: frozenset[Window] | None, first: int, last: int) -> Ints:
    trading = _trading_week(first, last)
    if windows is None:
        return trading
    result = intervals.intersection(intervals.union(_daily(window, first, last) for window in windows), trading)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=64)
def _trading_week(first: int, last: int) -> Ints:
    """Return the FX weeks around some years, Sunday to Friday 17:00 New York, without the holidays."""
    sundays = (day for day in _days(first, last) if day.weekday() == _SUNDAY)
    weeks = [(_turn(day), _turn(day + timedelta(days=_WEEK_DAYS))) for day in sundays]
    closed = [date(year, *day) for year in range(first - 1, last + 2) for day in _HOLIDAYS]
    holidays = [(_turn(day - timedelta(days=1)), _turn(day)) for day in closed]
    result = intervals.difference(intervals.union([_rows(weeks)]), intervals.union([_rows(holidays)]))
    result.setflags(write=False)
    return result


@lru_cache(maxsize=64)
def _daily(window: Window, first: int, last: int) -> Ints:
    """Return a window on every local day around some years, weekends included."""
    zone = ZoneInfo(window.zone)
    return _rows([(_moment(day, window.start, zone), _moment(day, window.end, zone)) for day in _days(first, last)])


def _turn(day: date) -> int:
    return _moment(day, _WEEK_TURN, ZoneInfo(_NEW_YORK))


def _moment(day: date, minute: int, zone: ZoneInfo) -> int:
    """Return the UTC epoch ms of a local minute of a day; 1440 and later fall on the next day."""
    days, rest = divmod(minute, DAY_MINUTES)
    local = datetime(day.year, day.month, day.day, rest // 60, rest % 60, tzinfo=zone)
    return int((local + timedelta(days=days)).timestamp()) * 1000


def _days(first: int, last: int) -> Iterator[date]:
    start = (date(first, 1, 1) - _MARGIN).toordinal()
    end = (date(last, 12, 31) + _MARGIN).toordinal()
    return map(date.fromordinal, range(start, end + 1))


def _rows(pairs: list[tuple[int, int]]) -> Ints:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _year(moment_ms: int) -> int:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).year
