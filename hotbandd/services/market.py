"""The market as this process knows it: one series per instrument, written by the hydrator and read by the others."""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from hotbandd.core.series import Series


class Market:
    """Series of all instruments. ``loaded`` is set once the history is there, as far as it could be had."""

    def __init__(self, pairs: Iterable[str], granularity: str) -> None:
        self.granularity = granularity
        self.series = {pair: Series() for pair in pairs}
        self.loaded = anyio.Event()

    @property
    def pairs(self) -> tuple[str, ...]:
        """The instruments, in the order of the settings."""
        return tuple(self.series)
