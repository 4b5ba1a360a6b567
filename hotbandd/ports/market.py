"""Where candles and the account come from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

from hotbandd.core.candles import Candles


class Page(NamedTuple):
    """One page of candles: complete ones, checked and ascending, and the refused ones counted by reason."""

    candles: Candles
    refused: Mapping[str, int]


class CandleSource(Protocol):
    """Where candles come from."""

    name: str

    def fetch(self, instrument: str, start_ms: int, end_ms: int) -> AsyncIterator[Page]:
        """Iterate over pages of the complete candles that open in [start, end), ascending.

        Raises SourceUnreachableError after its bounded retries, RefusedError where asking again cannot help.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class Broker(Protocol):
    """The account that is traded, as the broker words it.

    Raises SourceUnreachableError after its bounded retries, RefusedError where asking again cannot help.
    """

    async def account(self) -> dict[str, Any]:
        """Return the account's summary."""
        ...

    async def open_trades(self) -> dict[str, Any]:
        """Return the open trades."""
        ...
