"""Prime: signals and daily manifolds of past days, from the stored candles."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import anyio
import msgspec

from hotbandd.core import manifold, manifold_documents, manifold_run
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles
from hotbandd.core.documents import Signal
from hotbandd.core.manifold import COEFF_WINDOW, WINDOW, Family
from hotbandd.core.manifold_documents import Form
from hotbandd.core.series import Series
from hotbandd.operations.progress import Progress
from hotbandd.operations.retention import DAY, MANIFOLDS, trim_manifolds
from hotbandd.ports import Artifacts, Compute, SignalArchive, Store

GZIP_LEVEL: Final = 3
DAYS_A_TASK: Final = 5  # of an instrument: half a second of work
AT_ONCE: Final = 4  # instruments held in memory, at least
LOOKED_BACK: Final = COEFF_WINDOW + WINDOW + 1  # candles before a day that its figures depend on


@dataclass(frozen=True)
class Measure:
    """How manifolds are measured and named, from the settings."""

    family: Family
    form: Form
    lookback_min: int


class Day(msgspec.Struct, frozen=True):
    """A day's document as JSON, plain and gzipped, with its name ``YYYY-MM-DD``."""

    name: str
    document: bytes
    packed: bytes
    signals: int


@dataclass(frozen=True)
class Prime:
    """Writes signals and days; writing them again changes nothing."""

    store: Store
    archive: SignalArchive
    artifacts: Artifacts
    compute: Compute
    measure: Measure
    granularity: str
    retention_days: int
    progress: Progress

    async def run(self, pairs: tuple[str, ...], days: int, now: int) -> dict[str, int]:
        """Prime the last days, today included; return the number of signals by instrument."""
        midnights = [now // DAY_MS * DAY_MS - back * DAY_MS for back in reversed(range(days))]
        self.progress.begin("prime", len(pairs) * len(midnights))
        counts = dict.fromkeys(pairs, 0)
        limit = anyio.CapacityLimiter(max(AT_ONCE, 2 * self.compute.width))

        async def one(pair: str) -> None:
            async with limit:
                counts[pair] = await self._instrument(pair, midnights, now)

        async with anyio.create_task_group() as group:
            for pair in pairs:
                group.start_soon(one, pair)
        await trim_manifolds(self.artifacts, self.retention_days, now)
        self.progress.end(f"{sum(counts.values())} signals of {len(pairs)} instruments")
        return counts

    async def _instrument(self, pair: str, midnights: Sequence[int], now: int) -> int:
        since = midnights[0] - 5 * DAY_MS  # a weekend lies between two trading days
        candles = (await self.store.candles(pair, self.granularity, since, now)).candles
        totals = []
        async with self.compute.share(candles) as shared, anyio.create_task_group() as group:

            async def some(part: Sequence[int]) -> None:
                days = await shared.run(days_of, pair, part, self.measure)
                for day in days:
                    await self.archive.put_day(pair, day.name, day.packed)
                    await self.artifacts.write(MANIFOLDS / pair / f"{day.name}.json", day.document)
                totals.append(sum(day.signals for day in days))
                self.progress.advance(len(part))

            for first in range(0, len(midnights), DAYS_A_TASK):
                group.start_soon(some, midnights[first : first + DAYS_A_TASK])
            signals = await shared.run(signals_of, midnights[0], self.measure)
        await self.archive.put_signals(pair, signals)
        return sum(totals)


def days_of(candles: Candles, pair: str, midnights: Sequence[int], measure: Measure) -> list[Day]:
    """Measure days of an instrument; those without a signal are left out."""
    parts = ((midnight, around_day(candles, midnight)) for midnight in midnights)
    days = (day_of(pair, part, midnight, measure) for midnight, part in parts if part.size)
    return [day for day in days if day.signals]


def around_day(candles: Candles, midnight: int) -> Candles:
    """Return the candles that close within a UTC day, and those before that its figures look back on; none for an empty day."""
    closes = candles.t + MINUTE_MS
    first, stop = (int(closes.searchsorted(edge, side="right")) for edge in (midnight, midnight + DAY_MS))
    return candles.take(slice(max(0, first - LOOKED_BACK), stop)) if stop > first else candles.take(slice(0, 0))


def day_of(pair: str, candles: Candles, midnight: int, measure: Measure) -> Day:
    """Measure a day."""
    document = manifold_run.day_document(
        candles,
        pair,
        midnight,
        family=measure.family,
        precision=measure.form.precision,
        levels=measure.form.levels,
        lookback_min=measure.lookback_min,
    )
    name = datetime.fromtimestamp(midnight / 1000, UTC).strftime(DAY)
    text = msgspec.json.encode(document, order="sorted")
    return Day(name, text, gzip.compress(text, GZIP_LEVEL, mtime=0), len(document["signals"]))


def signals_of(candles: Candles, since: int, measure: Measure) -> list[Signal]:
    """Return the signals stamped after a moment."""
    series = Series()
    series.add(candles)
    manifold.measure_series(series, measure.family)
    start = int(candles.t.searchsorted(since - MINUTE_MS, side="right"))
    return manifold_documents.signals(
        manifold_documents.rows_of(series, start, measure.family, measure.form, textured=False), measure.family
    )
