"""Pacing: no more than so many events per second, evenly spaced."""

from __future__ import annotations

import anyio


class Pacer:
    """Lets callers through one by one, at least ``1 / per_second`` apart."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        """Wait for the next free place."""
        place = max(anyio.current_time(), self._next)
        self._next = place + self._interval
        await anyio.sleep_until(place)
