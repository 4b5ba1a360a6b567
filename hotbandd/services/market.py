"""The market as this process knows it: one series per instrument, written by the hydrator and read by the others."""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from hotbandd.core.series import Series

SETTLE_SEC = 30.0


class Market:
    """Series of all instruments. ``loaded`` is set once the history is there, as far as it could be had.

    It is settled under an epoch once the store has back what it may have lost of the history that decisions read there.
    """

    def __init__(self, pairs: Iterable[str], granularity: str) -> None:
        self.granularity = granularity
        self.series = {pair: Series() for pair in pairs}
        self.loaded = anyio.Event()
        self._epoch = -1
        self._settled = anyio.Event()

    def settle(self, epoch: int) -> None:
        """Note that it is settled under an epoch."""
        self._epoch = epoch
        self._settled.set()
        self._settled = anyio.Event()

    async def settled(self, epoch: int) -> None:
        """Wait until it is settled under an epoch or a later one, within a bound."""
        with anyio.move_on_after(SETTLE_SEC):
            while self._epoch < epoch:
                await self._settled.wait()

    @property
    def pairs(self) -> tuple[str, ...]:
        """The instruments, in the order of the settings."""
        return tuple(self.series)
