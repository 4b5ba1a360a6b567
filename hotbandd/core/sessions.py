"""Sessions: when an instrument may be traded, when that ends, and how many minutes of candles to expect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np

from hotbandd.core import intervals, market_hours
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Ints, Mask
from hotbandd.core.market_hours import DAY_MINUTES, Window
from hotbandd.errors import SettingsError

WINDOWS: Mapping[str, Window] = MappingProxyType(
    {
        "London": Window("Europe/London", 8 * 60, 16 * 60),
        "New York": Window("America/New_York", 8 * 60, 17 * 60),
        "Tokyo": Window("Asia/Tokyo", 8 * 60, 16 * 60),
        "Sydney": Window("Australia/Sydney", 7 * 60, 15 * 60),
    }
)
CURRENCIES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("EUR", "GBP", "CHF"), "London"),
        **dict.fromkeys(("USD", "CAD"), "New York"),
        "JPY": "Tokyo",
        **dict.fromkeys(("AUD", "NZD"), "Sydney"),
    }
)

_SETTING = "SESSION_WINDOWS_JSON"
_LONGEST_WAIT_MS = 8 * DAY_MS  # a weekend and the holidays around it are shorter


class Masks(NamedTuple):
    """Moments against a session: ``open``, and ``exit`` where a position has to end (closed, or about to close)."""

    open: Mask
    exit: Mask


@dataclass(frozen=True)
class Calendar:
    """The sessions of all instruments: daily windows by name, and the window of each currency.

    With ``enabled=False`` gating is off: every moment is open and none in an exit window, and no currency needs a session. The FX week still says
    when candles can come, so ``openings`` and all that counts or names them (``open_minutes``, ``opens_at``, ``closes_at``,
    ``next_boundary``) are then that week's.
    """

    windows: Mapping[str, Window]
    currencies: Mapping[str, str]
    enabled: bool = True

    def check(self, pairs: Iterable[str]) -> None:
        """Raise SettingsError for currencies without a session."""
        if not self.enabled:
            return
        missing = sorted({c for pair in pairs for c in pair.split("_") if c not in self.currencies})
        if missing:
            example = f'{{"currencies": {{"{missing[0]}": "{next(iter(self.windows))}"}}}}'
            raise SettingsError(
                f"No session is known for {', '.join(missing)}; name one in {_SETTING}, as in {example}."
            )

    def openings(self, instrument: str, start_ms: int, end_ms: int) -> Ints:
        """Return the uninterrupted openings [open, close) that share a moment with [start, end), each whole; int64[k, 2], UTC epoch ms."""
        return market_hours.openings(self._windows_of(instrument), start_ms, end_ms)

    def week_openings(self, start_ms: int, end_ms: int) -> Ints:
        """Return the same of the FX week alone."""
        return market_hours.openings(None, start_ms, end_ms)

    def open_minutes(self, instrument: str, start_ms: int, end_ms: int) -> int:
        """Count the minutes that open in [start, end) and in a session: the candles to expect."""
        first, last = (-(-moment // MINUTE_MS) * MINUTE_MS for moment in (start_ms, end_ms))
        rows = intervals.clipped(self.openings(instrument, first, last), first, last)
        return int((rows[:, 1] - rows[:, 0]).sum()) // MINUTE_MS

    def is_open(self, instrument: str, now_ms: int) -> bool:
        """Tell whether an instrument may be traded at a moment."""
        return not self.enabled or self.closes_at(instrument, now_ms) is not None

    def exit_window(self, instrument: str, now_ms: int, exit_minutes: int) -> bool:
        """Tell whether an open session ends within the exit minutes: 0 < close − now <= exit."""
        close = self.closes_at(instrument, now_ms)
        return self.enabled and close is not None and close - now_ms <= exit_minutes * MINUTE_MS

    def closes_at(self, instrument: str, now_ms: int) -> int | None:
        """Return the end of the opening around a moment, or None between openings."""
        rows = self.openings(instrument, now_ms, now_ms + 1)
        return int(rows[0, 1]) if len(rows) else None

    def opens_at(self, instrument: str, now_ms: int) -> int | None:
        """Return the start of the next opening, or None within one."""
        rows = self.openings(instrument, now_ms, now_ms + _LONGEST_WAIT_MS)
        return int(rows[0, 0]) if len(rows) and rows[0, 0] > now_ms else None

    def masks(self, instrument: str, decision_ms: Ints, exit_minutes: int) -> Masks:
        """Tell for each of n moments (int64[n], UTC epoch ms, ascending) whether the session is open, and whether positions have to end."""
        size = len(decision_ms)
        if not self.enabled or not size:
            return Masks(np.ones(size, np.bool_), np.zeros(size, np.bool_))
        rows = self.openings(instrument, int(decision_ms[0]), int(decision_ms[-1]) + 1)
        opens, closes = rows[:, 0], rows[:, 1]
        edges = np.searchsorted(decision_ms, np.stack((opens, closes - exit_minutes * MINUTE_MS, closes)))
        masks = Masks(np.zeros(size, np.bool_), np.ones(size, np.bool_))
        for first, leave, stop in edges.T.tolist():
            masks.open[first:stop] = True
            masks.exit[first:leave] = False
        return masks

    def next_boundary(self, pairs: Iterable[str], after_ms: int, exit_minutes: int) -> int:
        """Return the first moment after another at which a session of any pair opens, enters its exit window or closes."""
        return min(self._next_boundary(pair, after_ms, exit_minutes) for pair in pairs)

    def _next_boundary(self, instrument: str, after_ms: int, exit_minutes: int) -> int:
        rows = self.openings(instrument, after_ms, after_ms + _LONGEST_WAIT_MS)
        opens, closes = rows[:, 0], rows[:, 1]
        exits = np.maximum(opens, closes - exit_minutes * MINUTE_MS)
        moments = np.concatenate((opens, exits, closes))
        return int(moments[moments > after_ms].min())

    def _windows_of(self, instrument: str) -> frozenset[Window] | None:
        if not self.enabled:
            return None
        return frozenset(self.windows[self.currencies[currency]] for currency in instrument.split("_"))


class _Overrides(msgspec.Struct, forbid_unknown_fields=True):
    windows: dict[str, tuple[str, str, str]] = {}
    currencies: dict[str, str] = {}


def calendar(overrides: Any = None, *, enabled: bool) -> Calendar:
    """Build the calendar from the defaults and the parsed SESSION_WINDOWS_JSON.

    Form: ``{"windows": {"London": ["Europe/London", "08:00", "16:00"], …}, "currencies": {"XAU": "London", …}}``, both parts
    optional; what it names is replaced or added, the rest stays. Times are local, HH:MM, up to 24:00; an end before its start is on the next day.
    Raises SettingsError with every fault.
    """
    try:
        given = msgspec.convert({} if overrides is None else overrides, _Overrides)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{_SETTING} has another form than {{windows, currencies}}: {error}.") from error
    faults: list[str] = []
    windows = dict(WINDOWS)
    for name, (zone, start, end) in given.windows.items():
        parsed, wrong = _window(zone, start, end)
        windows[name] = parsed
        faults += [f"window {name}: {fault}" for fault in wrong]
    currencies = {**CURRENCIES, **given.currencies}
    faults += [fault for pair in given.currencies.items() for fault in _membership_faults(*pair, windows)]
    if faults:
        raise SettingsError(f"{_SETTING} cannot be used: {'; '.join(faults)}.")
    return Calendar(MappingProxyType(windows), MappingProxyType(currencies), enabled)


def _membership_faults(currency: str, session: str, windows: Mapping[str, Window]) -> list[str]:
    faults = []
    if not re.fullmatch(r"[A-Z0-9]{2,12}", currency):
        faults.append(f"{currency!r} is not a currency (capitals and digits)")
    if session not in windows:
        faults.append(f"{currency} belongs to {session!r}, which is none of the windows {', '.join(windows)}")
    return faults


def _window(zone: str, start: str, end: str) -> tuple[Window, list[str]]:
    """Return a window, and what is wrong with it."""
    first, last = _minute(start), _minute(end)
    faults = [] if _is_zone(zone) else [f"{zone!r} is not an IANA time zone"]
    faults += [f"{text!r} is not a time (HH:MM)" for text, m in ((start, first), (end, last)) if m is None]
    if first is None or last is None:
        return Window(zone, 0, 0), faults
    if first in {last, DAY_MINUTES}:
        faults.append(f"{start} to {end} is no window")
    return Window(zone, first, last if last > first else last + DAY_MINUTES), faults


def _minute(text: str) -> int | None:
    """Return the minute of the day of HH:MM, or None where it is none."""
    match = re.fullmatch(r"(\d\d):([0-5]\d)", text, re.ASCII)
    minute = int(match[1]) * 60 + int(match[2]) if match else DAY_MINUTES + 1
    return minute if minute <= DAY_MINUTES else None


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
