"""Signals and manifolds that a warm-up writes, in Valkey."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence

from anyio.lowlevel import checkpoint

from hotbandd.adapters.store import keys, publications, scripts
from hotbandd.adapters.store.keys import Expiries
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core.documents import Manifold, Signal, encode
from hotbandd.errors import CorruptPayloadError
from hotbandd.ports import Ages

PART = 500  # signals written in one step
DAY_BYTES = 50_000_000  # unpacked document of a day, some ten times what it takes
_LATEST_MS = 2**53


class ValkeySignals:
    """The SignalArchive port over a connection to Valkey."""

    def __init__(self, backend: ValkeyBackend, ages: Ages) -> None:
        self._backend = backend
        self._expiries = Expiries(ages, 1.0)
        self._hydrate = backend.client.register_script(scripts.HYDRATE)

    async def put_signals(self, instrument: str, signals: Sequence[Signal]) -> None:
        """Write signals and list them; those older than their retention are left out and trimmed."""
        if not signals:
            return
        oldest = signals[-1].ts_ns // 1_000_000 - self._expiries.signals_kept_ms
        kept = [signal for signal in signals if signal.ts_ns // 1_000_000 >= oldest]
        for start in range(0, len(kept), PART):
            commands = list(publications.signals(instrument, kept[start : start + PART], self._expiries))
            await self._backend.apply(commands)
            await checkpoint()
        await self._backend.trim(keys.signal_index(instrument), oldest)

    async def newest_signal(self, instrument: str) -> int | None:
        """Return the stamp of the newest listed signal, ms."""
        key = keys.signal_index(instrument)
        newest = await self._backend.newest(key, 1)
        if not newest:
            return None
        score = newest[0][1]
        if not 0 <= score < _LATEST_MS:
            raise CorruptPayloadError(key, "its highest score is no moment")
        return int(score)

    async def put_day(self, instrument: str, day: str, packed: bytes) -> None:
        """Keep the manifold document of a day, ``YYYY-MM-DD``, gzip JSON."""
        await self._backend.set(keys.manifold_day(instrument, day), packed, life_ms=keys.MANIFOLD_DAYS_MS)

    async def day(self, instrument: str, day: str) -> bytes | None:
        """Return the manifold document of a day."""
        key = keys.manifold_day(instrument, day)
        packed = await self._backend.get(key)
        if packed is None:
            return None
        try:
            with gzip.open(io.BytesIO(packed)) as file:
                document = file.read(DAY_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise CorruptPayloadError(key, "it is not gzip") from error
        if len(document) > DAY_BYTES:
            raise CorruptPayloadError(key, f"it unpacks to more than {DAY_BYTES} bytes")
        return document

    async def hydrate(self, document: Manifold) -> bool:
        """Write a newest manifold and send it, unless one as late is there; return whether it was written."""
        key = keys.manifold(document.instrument)
        words: list[bytes | int | str] = [encode(document), document.ts, self._expiries.manifold, keys.MANIFOLD_CHANNEL]
        return bool(await self._backend.ask(key, self._hydrate([key], words)))
