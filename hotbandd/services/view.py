"""What a running daemon tells of itself: health, readiness, status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hotbandd.core import words
from hotbandd.core.candles import MINUTE_MS
from hotbandd.ports import Broker
from hotbandd.services.charts import Charts
from hotbandd.services.context import Context
from hotbandd.services.fetch import Fetch
from hotbandd.services.health import Health
from hotbandd.services.page import Pages
from hotbandd.settings import Secret

FRESH_MS = 300_000


class Secured(NamedTuple):
    """What only who bears the token may have: None as the token turns all of it off; without a broker there is no account."""

    token: Secret | None
    broker: Broker | None
    fetch: Fetch


class View:
    """The daemon, for its pages. ``shown`` are the settings with secrets masked."""

    def __init__(
        self,
        context: Context,
        health: Health,
        metrics: Callable[[], bytes],
        *,
        shown: dict[str, str],
        secured: Secured,
        pages: Pages,
        charts: Charts,
    ) -> None:
        self.token, self.broker, self.fetch = secured
        self.pages = pages
        self.chart = charts.chart
        self.store = context.store
        self.pairs = context.market.pairs
        self.granularity = context.market.granularity
        self.metrics = metrics
        self._market = context.market
        self._compute = context.compute
        self._clock = context.clock
        self._health = health
        self._leadership = context.leadership
        self._calendar = context.calendar
        self._latest = context.latest
        self._shown = shown

    def now(self) -> int:
        """Return the moment, UTC epoch ms."""
        return self._clock.now()

    def health(self) -> dict[str, Any]:
        """Tell whether the process and every loop are alive."""
        return {
            "healthy": self._health.alive,
            "silent_loops": self._health.silent(),
            "event_loop_lag_seconds": self._health.worst_lag_sec,
        }

    def readiness(self) -> dict[str, Any]:
        """Tell whether data are fresh, Valkey answers, and this process leads: one that stands by has no data."""
        reasons = []
        if self._health.store_up is not True:
            reasons.append("Valkey does not answer")
        if not self._leadership.leading:
            leader = self._leadership.leader
            who = f"{leader.holder} does, with epoch {leader.epoch}" if leader else "nobody is known to"
            reasons.append(f"this process does not lead, {who}")
        if not self._market.loaded.is_set():
            reasons.append("the history is not loaded yet")
        stale = self._stale()
        if stale:
            reasons.append(f"no fresh candle of {', '.join(stale)}")
        return {"ready": not reasons, "reasons": reasons}

    def troubles(self) -> list[str] | None:
        """Tell what is amiss with this daemon or its data, in words; None while the store was not yet asked."""
        if self._health.store_up is None:
            return None
        found = [f"the loop {name} is silent" for name in self._health.silent()]
        if not self._health.store_up:
            found.append("Valkey does not answer")
        if stale := self._stale():
            found.append(f"no fresh candle of {', '.join(stale)}")
        if self._compute.where.fault:
            found.append(f"computes on this machine alone: {self._compute.where.fault}")
        return found

    def status(self) -> dict[str, Any]:
        """Tell what the daemon does, loop by loop and instrument by instrument."""
        leader = self._leadership.leader
        now = self.now()
        return {
            "now": now,
            "speed": self._clock.speed,
            **self.health(),
            **self.readiness(),
            "leading": self._leadership.leading,
            "leader": leader._asdict() if leader else None,
            "compute": self._compute.where._asdict(),
            "loops": {
                name: {"last_success": state.last_success, "fault": state.fault}
                for name, state in self._health.loops.items()
            },
            "instruments": {pair: self._instrument(pair, now) for pair in self.pairs},
            "settings": self._shown,
        }

    def line(self) -> str:
        """Tell in one line what a person asks first: who leads, open gates, the age of the data, holding, what is amiss."""
        leader, latest = self._leadership.leader, self._latest
        parts = [f"leads with epoch {leader.epoch}" if leader and self._leadership.leading else "stands by"]
        if leader and latest.gates is not None and latest.gates.epoch == leader.epoch:
            parts.append(f"{sum(latest.gates.gates.values())} of {len(self.pairs)} gates open")
        newest = max(series.newest for series in self._market.series.values())
        if newest >= 0:
            parts.append(f"newest candle {words.duration(self.now() - newest - MINUTE_MS)} old")
        status = latest.allocation
        if leader and status is not None and status.epoch == leader.epoch and status.held:
            parts.append(f"weights held: {words.allocated(status.reason)}")
        if silent := self._health.silent():
            parts.append(f"silent: {', '.join(silent)}")
        if reasons := self.readiness()["reasons"]:
            parts.append(f"not ready: {'; '.join(reasons)}")
        return ", ".join(parts)

    def _instrument(self, pair: str, now: int) -> dict[str, Any]:
        series = self._market.series[pair]
        return {
            "candles": series.size,
            "newest_candle_close": series.newest + MINUTE_MS if series.size else None,
            "session_open": self._calendar.is_open(pair, now),
            "session_closes": self._calendar.closes_at(pair, now),
            "session_opens": self._calendar.opens_at(pair, now),
        }

    def _stale(self) -> list[str]:
        """Return the instruments without a candle of the last minutes while their session is open."""
        now = self.now()
        return [
            pair
            for pair, series in self._market.series.items()
            if self._calendar.is_open(pair, now) and now - (series.newest + MINUTE_MS) > FRESH_MS
        ]
