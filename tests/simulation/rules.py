"""What the contract and the rules of decisions ask for, in plain words of their own: nothing here calls what it checks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

MINUTE, DAY = 60_000, 86_400_000
SESSIONS = {
    "London": ("Europe/London", 8, 16, ("EUR", "GBP", "CHF")),
    "New York": ("America/New_York", 8, 17, ("USD", "CAD")),
    "Tokyo": ("Asia/Tokyo", 8, 16, ("JPY",)),
    "Sydney": ("Australia/Sydney", 7, 15, ("AUD", "NZD")),
}
BUFFERS = {"NZD_USD": 0.12, "USD_CHF": 0.15}
FRESH_STATE = {
    "eligible": False,
    "passes": 0,
    "fails": 0,
    "misses": 0,
    "cooldown_until": 0,
    "cooldown_spent": False,
    "last_slot": 0,
    "last_candle": 0,
    "param_key": "",
}
COUNTERS = {"passes": 0, "fails": 0, "misses": 0}


def start_of(day: str) -> int:
    """Return when a day (YYYY-MM-DD, UTC) begins, UTC epoch ms."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000


def week_open(moment: datetime) -> bool:
    """Tell whether the FX week is open: Sunday to Friday 17:00 New York, but for two holidays."""
    local = moment.astimezone(ZoneInfo("America/New_York"))
    trading_day = (local + timedelta(hours=7)).date()  # the day turns at 17:00
    return trading_day.weekday() < 5 and (trading_day.month, trading_day.day) not in ((12, 25), (1, 1))


@lru_cache(maxsize=100_000)
def is_open(pair: str, minute: int) -> bool:
    """Tell whether a session of either currency is open in a minute (UTC epoch ms / 60 000)."""
    moment = datetime.fromtimestamp(minute * 60, UTC)
    if not week_open(moment):
        return False
    for zone, opens, closes, currencies in SESSIONS.values():
        if any(currency in pair.split("_") for currency in currencies):
            local = moment.astimezone(ZoneInfo(zone))
            if opens <= local.hour < closes:
                return True
    return False


def tradable(pair: str, moment: int, exit_minutes: int = 5) -> bool:
    """Tell whether a session is open, and does not close within the exit minutes."""
    minute = moment // MINUTE
    # 0 < close − now <= exit: a close that is exactly so far away counts
    return all(is_open(pair, minute + ahead) for ahead in range(exit_minutes + 1))


def verdict(pair: str, summary: dict[str, Any]) -> str | None:
    """Judge an evaluation: pass, fail or dead; None where too little is known."""
    spans, floors = summary["summary"], summary["gates"]
    if "30" not in spans or "14" not in spans:
        return None
    buffer = BUFFERS.get(pair, 0.10)
    span, recent = spans["30"], spans["14"]
    pairs = [
        (span["trades"], floors["min_trades"]),
        (span["calmar"], floors["calmar_min"]),
        (span["pnl_total"], floors["pnl_min"]),
    ]
    if all(value >= floor + buffer * abs(floor) for value, floor in pairs) and recent["pnl_total"] > 0:
        return "pass"
    if any(value < floor - buffer * abs(floor) for value, floor in pairs) or recent["calmar"] < -buffer:
        return "fail"
    return "dead"


def stepped(
    state: dict[str, Any], found: str | None, slot: int, newest: int, key: str, *, consecutive: int, cooldown_ms: int
) -> dict[str, Any]:
    """Return the state of a gate after a slot."""
    new = dict(state)
    if new["param_key"] != key:
        new.update(COUNTERS, param_key=key)
    if found is None or slot <= new["last_slot"] or newest <= new["last_candle"]:
        return new
    new.update(last_slot=slot, last_candle=newest)
    if slot < new["cooldown_until"]:
        return {**new, **COUNTERS, "eligible": False}
    if found == "pass":
        new.update(passes=new["passes"] + 1, fails=0, misses=0)
        if new["passes"] >= consecutive:
            new.update(eligible=True, cooldown_spent=False)
    elif found == "fail":
        new.update(passes=0, fails=new["fails"] + 1, misses=new["misses"] + 1)
        if new["fails"] >= consecutive:
            new["eligible"] = False
    else:
        new.update(passes=0, fails=0)
    if new["misses"] >= 4 and not new["cooldown_spent"] and cooldown_ms:
        new.update(COUNTERS, eligible=False, cooldown_spent=True, cooldown_until=slot + cooldown_ms)
    return new


def exact(weights: dict[str, float]) -> Decimal:
    """Sum weights up as they are written."""
    return sum((Decimal(repr(weight)) for weight in weights.values()), Decimal(0))
