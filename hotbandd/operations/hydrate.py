"""Hydrate: the newest manifold of each instrument, for readers that wait for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from hotbandd.core import manifold, manifold_documents
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles
from hotbandd.core.documents import Manifold
from hotbandd.core.entry_bounds import EntryBounds
from hotbandd.core.manifold_documents import Origin
from hotbandd.core.series import Series
from hotbandd.core.sessions import Calendar
from hotbandd.operations.prime import Measure
from hotbandd.operations.progress import Progress
from hotbandd.ports import Compute, SignalArchive, Store

FRESH_MS = 300_000  # older than this, a manifold of an open market is stale
_BACK_MS = 5 * DAY_MS  # holds 1 440 candles, whatever the weekend
_PERCENTILE_BACK_MS = 33 * DAY_MS


@dataclass(frozen=True)
class Hydrate:
    """Writes newest manifolds; never over a later one."""

    store: Store
    archive: SignalArchive
    compute: Compute
    measure: Measure
    bounds: EntryBounds
    granularity: str
    source: str
    progress: Progress

    async def run(self, pairs: tuple[str, ...], now: int) -> dict[str, bool]:
        """Write manifolds; return, by instrument, whether one was written."""
        self.progress.begin("hydrate", len(pairs))
        leader = await self.store.leader()
        epoch = leader.epoch if leader else 0
        written = {}
        for pair in pairs:
            candles = (await self.store.candles(pair, self.granularity, now - self._back_ms, now)).candles
            document = await self.compute.run(newest_of, pair, candles, self.measure, self.bounds, self.source, epoch)
            written[pair] = document is not None and await self.archive.hydrate(document)
            self.progress.advance()
        self.progress.end(
            f"{sum(written.values())} manifolds written, {len(pairs) - sum(written.values())} left as they are"
        )
        return written

    @property
    def _back_ms(self) -> int:
        return _PERCENTILE_BACK_MS if self.bounds.relative else _BACK_MS


def newest_of(
    pair: str, candles: Candles, measure: Measure, bounds: EntryBounds, source: str, epoch: int
) -> Manifold | None:
    """Measure the newest manifold; None where the candles end no window."""
    series = Series()
    series.add(candles)
    manifold.measure_series(series, measure.family)
    if not candles.size:
        return None
    newest = bounds.at_newest(series.candles.t, series.metrics)
    origin = Origin(source, epoch, int(candles.t[-1]) + MINUTE_MS)
    return manifold_documents.document(series, pair, measure.family, newest, measure.form, origin)


async def faults(
    store: Store, archive: SignalArchive, pairs: tuple[str, ...], calendar: Calendar, now: int
) -> list[str]:
    """Return what is wrong with the manifolds and signals of instruments, a sentence each."""
    found = []
    for pair in pairs:
        found += manifold_faults(pair, await store.manifold(pair), calendar, now)
        newest = await archive.newest_signal(pair)
        if newest is None:
            found.append(f"{pair} has no signals; run hotbandd warmup --steps prime.")
    return found


def manifold_faults(pair: str, document: Manifold | None, calendar: Calendar, now: int) -> list[str]:
    """Return what is wrong with a newest manifold."""
    if document is None:
        return [f"{pair} has no manifold; back-fill at least 129 candles, then hydrate."]
    metrics: Mapping[str, float] = {
        name: getattr(document.metrics, name) for name in ("coherence", "stability", "entropy", "rupture")
    }
    found = [
        f"{pair}: {name} is {value}, not in [0, 1]."
        for name, value in metrics.items()
        if not (isfinite(value) and 0.0 <= value <= 1.0)
    ]
    expected = newest_open_minute(calendar, now)
    if document.ts < expected - FRESH_MS:
        found.append(f"{pair}: its manifold is {(expected - document.ts) // MINUTE_MS} minutes of open market behind.")
    return found


def newest_open_minute(calendar: Calendar, now: int) -> int:
    """Return the latest moment of an open market up to now."""
    openings = calendar.week_openings(now - 7 * DAY_MS, now)
    return min(now, int(openings[-1][1])) if len(openings) else now
