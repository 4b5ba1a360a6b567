"""Side tasks of the daemon: the lag of the event loop, the wall clock, reports to the service manager, a clock that is not the real one."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import structlog

from hotbandd.core.documents import ClockAnchor
from hotbandd.errors import ClockError, UnreachableError
from hotbandd.ports import FollowingClock, ServiceManager, Store, Telemetry
from hotbandd.services.health import Health

log = structlog.get_logger()

LAG_EVERY_SEC = 0.25
LAG_WARN_SEC = 0.25
ANCHOR_EVERY_SEC = 20.0
ANCHOR_SEC = 15.0  # one announcement at most
CLOCK_SEC = 5.0
CLOCK_WARN_SEC = 1.0
CLOCK_AT_MOST_SEC = 7200.0  # what is worth waiting for until it is made up
REPORT_SEC = 5.0
REPORTS_PER_WATCHDOG = 3  # at least two: one that is lost must not be the end


async def gauge_lag(telemetry: Telemetry, health: Health) -> None:
    """Measure by how much the event loop is late, for ever; the worst of the last measurements is shown, so that no scrape misses it."""
    while True:
        health.waiting("lag", LAG_EVERY_SEC)
        before = time.monotonic()
        await anyio.sleep(LAG_EVERY_SEC)
        lag = max(0.0, time.monotonic() - before - LAG_EVERY_SEC)
        health.lagged(lag)
        telemetry.event_loop_lag(health.worst_lag_sec)
        if lag > LAG_WARN_SEC:
            log.warning("loop.lag", seconds=round(lag, 3))


async def gauge_clock(clock: FollowingClock, telemetry: Telemetry, health: Health) -> None:
    """Tell how far the wall clock is ahead, for ever; raise ClockError where that is too much to be made up for."""
    off = False
    while True:
        health.waiting("clock", CLOCK_SEC)
        clock.now()
        behind = clock.behind_sec
        telemetry.clock_behind(behind)
        if abs(behind) > CLOCK_AT_MOST_SEC:
            raise ClockError(
                f"The wall clock was set by {behind / 3600:+.1f} h, which is too much to be made up for; "
                f"start the daemon again once the clock is right."
            )
        if off != (abs(behind) > CLOCK_WARN_SEC):
            off = not off
            log.warning("clock.off" if off else "clock.right", behind_sec=round(behind, 3))
        await anyio.sleep(CLOCK_SEC)


async def report(manager: ServiceManager, health: Health, status: Callable[[], str]) -> None:
    """Tell the service manager how things are, for ever: ready once the store was asked, and alive only while all is.

    It runs among the loops that it speaks for: a blocked event loop falls silent.
    """
    watchdog = manager.watchdog_sec
    pause = REPORT_SEC if watchdog is None else min(REPORT_SEC, watchdog / REPORTS_PER_WATCHDOG)
    told = False
    while True:
        health.waiting("report", pause)
        if health.alive:
            manager.alive()
        else:
            log.error("watchdog.withheld", silent=health.silent(), lag_sec=round(health.lag_sec, 3))
        if told:
            manager.status(status())
        elif health.store_up is not None:
            told = manager.ready(status())
        await anyio.sleep(pause if told else min(pause, LAG_EVERY_SEC))


async def announce_clock(store: Store, health: Health, anchor: ClockAnchor) -> None:
    """Keep the anchor of a clock that is not the real one in the store, for ever."""
    while True:
        health.working("anchor", ANCHOR_SEC)
        try:
            await store.set_clock(anchor)
        except UnreachableError as error:
            log.warning("clock.unannounced", error=str(error))
        health.waiting("anchor", ANCHOR_EVERY_SEC)
        await anyio.sleep(ANCHOR_EVERY_SEC)
