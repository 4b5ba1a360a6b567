"""The daemon over a simulated market, at a time and a speed of its own: ``python -m tests.web.live BEGIN SPEED DRY``.

``BEGIN`` is where its clock begins, UTC epoch ms; ``SPEED`` the seconds of its clock per real second; from ``DRY`` on, UTC epoch ms, no
candle comes any more. The environment holds the settings.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import anyio

from hotbandd import daemon
from hotbandd.adapters import log
from hotbandd.adapters.clock import SteadyClock
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.core.documents import ClockAnchor
from hotbandd.ports import Page
from hotbandd.settings import read_settings


class DryingSource(SimulatedSource):
    """A simulated market without candles from a moment on."""

    def __init__(self, dry: int) -> None:
        super().__init__()
        self._dry = dry

    def fetch(self, instrument: str, start_ms: int, end_ms: int) -> AsyncIterator[Page]:
        return super().fetch(instrument, min(start_ms, self._dry), min(end_ms, self._dry))


def main(begin: int, speed: float, dry: int) -> None:
    settings = read_settings(None).settings
    log.configure("info", "json", interactive=False, secrets=())
    clock = SteadyClock(speed=speed, anchor_virtual=begin)
    anchor = ClockAnchor(anchor_wall=clock.anchor_wall, anchor_virtual=begin, speed=speed)
    plan = daemon.Plan(settings, clock, source=DryingSource(dry), announce=anchor, engaged=False)
    anyio.run(daemon.run, plan)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
