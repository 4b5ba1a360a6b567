"""The daemon as it runs live, over a simulated market on a fast clock: ``python -m tests.faults.soak``, settings in the environment.

SPEED is how many seconds of its clock pass in a real one.
"""

from __future__ import annotations

import os

import anyio

from hotbandd import daemon
from hotbandd.adapters import log
from hotbandd.adapters.clock import SteadyClock
from hotbandd.adapters.simulator import DEMO_START_MS
from hotbandd.core.documents import ClockAnchor
from hotbandd.settings import read_settings


async def main(speed: float) -> None:
    """Run until a signal ends it."""
    settings = read_settings(None).settings
    log.configure("info", "json", interactive=False, secrets=settings.secrets())
    clock = SteadyClock(speed=speed, anchor_virtual=DEMO_START_MS)
    anchor = ClockAnchor(anchor_wall=clock.anchor_wall, anchor_virtual=clock.anchor_virtual, speed=speed)
    await daemon.run(daemon.Plan(settings, clock, announce=anchor, engaged=False))


if __name__ == "__main__":
    anyio.run(main, float(os.environ.pop("SPEED")), backend_options={"use_uvloop": True})
