"""FX weeks, numbered from the one that opens on the eve of 2024: five days of 1 440 minutes, each from 17:00 New York."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hotbandd.core.candles import DAY_MS, MINUTE_MS

DAYS = 5
DAY_MINUTES = DAY_MS // MINUTE_MS
MINUTES = DAYS * DAY_MINUTES
_FIRST_SUNDAY = date(2023, 12, 31)
_NEW_YORK = ZoneInfo("America/New_York")
_OPEN = time(17)
_HOLIDAYS = {(12, 25), (1, 1)}


@lru_cache(maxsize=512)
def week_open(week: int) -> int:
    """Return when a week opens, UTC epoch ms."""
    sunday = _FIRST_SUNDAY + timedelta(weeks=week)
    return int(datetime.combine(sunday, _OPEN, _NEW_YORK).timestamp()) * 1000


def week_at(t_ms: int) -> int:
    """Return the week that a moment falls in or, on a weekend, that ended last; negative before the first."""
    days = (datetime.fromtimestamp(t_ms / 1000, UTC).date() - _FIRST_SUNDAY).days
    week = days // 7
    return week if t_ms >= week_open(week) else week - 1


def day_at(t_ms: int) -> int:
    """Return the trading day of a moment, counted from the first; a weekend counts as the Friday before it."""
    week = week_at(t_ms)
    return week * DAYS + min(DAYS - 1, (t_ms - week_open(week)) // DAY_MS)


def holidays(week: int) -> list[int]:
    """Return the days of a week on which the market is closed: those that end on 25 December or 1 January."""
    monday = _FIRST_SUNDAY + timedelta(weeks=week, days=1)
    dates = [monday + timedelta(days=day) for day in range(DAYS)]
    return [day for day, on in enumerate(dates) if (on.month, on.day) in _HOLIDAYS]
