"""The daemon over a simulated market whose gates open soon, on a fast clock: ``python -m tests.faults.market``, settings in the environment.

It is what ``hotbandd demo`` runs, without its table and with the Valkey that is named.
"""

from __future__ import annotations

import anyio

from hotbandd import daemon
from hotbandd.adapters import log
from hotbandd.adapters.clock import SteadyClock
from hotbandd.adapters.simulator import DEFAULT_SEED, DEMO_START_MS, SimulatedSource
from hotbandd.core.documents import ClockAnchor
from hotbandd.settings import read_settings

SPEED = 10.0
SLOT_SEC = 60  # an evaluation and an allocation every 6 real seconds
SETTINGS = {
    "HOTBAND_PAIRS": "EUR_USD,AUD_USD",
    "HOTBAND_SOURCE": "simulated",
    "CANDLE_HOT_DAYS": "36",
    "EVAL_INTERVAL_SEC": str(SLOT_SEC),
    "ALLOC_INTERVAL_SEC": str(SLOT_SEC),
    "ALLOC_TOP_K": "1",
    "SESSION_TRADING_ENABLED": "0",
    "LEASE_TTL_SEC": "5",
    "HOTBAND_COMPUTE": "inline",
}


async def main() -> None:
    """Run until a signal ends it."""
    settings = read_settings(None).settings
    log.configure("info", "json", interactive=False, secrets=())
    clock = SteadyClock(speed=SPEED, anchor_virtual=DEMO_START_MS)
    anchor = ClockAnchor(anchor_wall=clock.anchor_wall, anchor_virtual=clock.anchor_virtual, speed=SPEED)
    await daemon.run(daemon.Plan(settings, clock, source=SimulatedSource(DEFAULT_SEED), announce=anchor, engaged=False))


if __name__ == "__main__":
    anyio.run(main, backend_options={"use_uvloop": True})
