"""What the HTTP server asks of the daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from hotbandd.core.backfill import Fetched
from hotbandd.core.chart import Chart
from hotbandd.core.page_documents import Update
from hotbandd.ports import Broker, Store
from hotbandd.settings import Secret


class Pages(Protocol):
    """The page, kept up while somebody looks."""

    @property
    def room(self) -> bool:
        """Whether one more may listen."""
        ...

    async def snapshot(self) -> bytes | None:
        """Return the page as JSON; None where it cannot be had in time."""
        ...

    def listen(self, since: int | None) -> AbstractAsyncContextManager[AsyncIterator[Update]]:
        """Receive updates, the first of them the whole page unless ``since`` is its version."""
        ...


class Fetcher(Protocol):
    """Candles fetched on demand, one request at a time."""

    @property
    def busy(self) -> bool:
        """Whether a fetch is under way."""
        ...

    async def run(self, instrument: str, count: int) -> Fetched:
        """Fetch and store the last minutes of an open market, and tell what became of it.

        Raises SourceUnreachableError, RefusedError, StoreUnreachableError.
        """
        ...


class HttpState(Protocol):
    """The daemon, as its HTTP server sees it. All but the store answers at once, from memory."""

    @property
    def store(self) -> Store:
        """The shared state."""
        ...

    @property
    def pairs(self) -> Sequence[str]:
        """The instruments that are followed."""
        ...

    @property
    def granularity(self) -> str:
        """The granularity of the candles."""
        ...

    @property
    def token(self) -> Secret | None:
        """The bearer token of what changes something; None: that is off."""
        ...

    @property
    def broker(self) -> Broker | None:
        """The account that is traded; None where candles do not come from its broker."""
        ...

    @property
    def pages(self) -> Pages:
        """The page."""
        ...

    @property
    def fetch(self) -> Fetcher:
        """Who fetches candles."""
        ...

    async def chart(self, instrument: str, hours: int) -> Chart:
        """Return what is drawn of an instrument."""
        ...

    def now(self) -> int:
        """Return the moment by the daemon's clock, UTC epoch ms."""
        ...

    def health(self) -> Mapping[str, object]:
        """Return whether the process and every loop is alive, as ``healthy``, and what there is to know of it."""
        ...

    def readiness(self) -> Mapping[str, object]:
        """Return whether data is fresh, Valkey answers and the leader is known, as ``ready``, and what is amiss."""
        ...

    def status(self) -> Mapping[str, object]:
        """Return what the daemon does, for people; no secrets."""
        ...

    def metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        ...
