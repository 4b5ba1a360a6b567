"""What one-shot operations keep and read beside the state of the loops.

Nothing here is fenced: all of it is idempotent, and none of it decides what may be traded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hotbandd.core.documents import Manifold, Signal


class SignalArchive(Protocol):
    """Signals, daily manifolds and the newest manifold, as a warm-up writes them.

    Raises StoreUnreachableError where the server does not answer in time, CorruptPayloadError where a value cannot be read.
    """

    async def put_signals(self, instrument: str, signals: Sequence[Signal]) -> None:
        """Write signals and list them; those older than their retention are left out and trimmed."""
        ...

    async def newest_signal(self, instrument: str) -> int | None:
        """Return the stamp of the newest listed signal, ms."""
        ...

    async def put_day(self, instrument: str, day: str, packed: bytes) -> None:
        """Keep the manifold document of a day, ``YYYY-MM-DD``, gzip JSON."""
        ...

    async def day(self, instrument: str, day: str) -> bytes | None:
        """Return the manifold document of a day, JSON."""
        ...

    async def hydrate(self, document: Manifold) -> bool:
        """Write a newest manifold and send it, unless one as late is there; return whether it was written."""
        ...
