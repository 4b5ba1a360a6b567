"""Side tasks of the daemon: the lag of the event loop, and the announcement of a clock that is not the real one."""

from __future__ import annotations

import time

import anyio
import structlog

from hotbandd.core.documents import ClockAnchor
from hotbandd.errors import UnreachableError
from hotbandd.ports import Store, Telemetry
from hotbandd.services.health import Health

log = structlog.get_logger()

LAG_EVERY_SEC = 0.25
LAG_WARN_SEC = 0.25
ANCHOR_EVERY_SEC = 20.0


async def gauge_lag(telemetry: Telemetry, health: Health) -> None:
    """Measure by how much the event loop is late, for ever."""
    while True:
        before = time.monotonic()
        await anyio.sleep(LAG_EVERY_SEC)
        lag = max(0.0, time.monotonic() - before - LAG_EVERY_SEC)
        health.lag_sec = lag
        telemetry.event_loop_lag(lag)
        if lag > LAG_WARN_SEC:
            log.warning("loop.lag", seconds=round(lag, 3))


async def announce_clock(store: Store, anchor: ClockAnchor) -> None:
    """Keep the anchor of a clock that is not the real one in the store, for ever."""
    while True:
        try:
            await store.set_clock(anchor)
        except UnreachableError as error:
            log.warning("clock.unannounced", error=str(error))
        await anyio.sleep(ANCHOR_EVERY_SEC)
