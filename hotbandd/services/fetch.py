"""Candles fetched because somebody asks for them, beside what the hydrator fetches by itself."""

from __future__ import annotations

from collections import Counter
from typing import Final

import anyio
import structlog

from hotbandd.core import candles as columns
from hotbandd.core.backfill import Fetched, since
from hotbandd.errors import InputError, RefusedError, SourceUnreachableError
from hotbandd.ports import CandleSource
from hotbandd.services.context import Context
from hotbandd.services.intake import Intake

log = structlog.get_logger()

DEADLINE_SEC: Final = 60.0


class Fetch:
    """Fetches the newest candles anew, one request at a time; what is stored already is stored again, and is there once."""

    def __init__(
        self, context: Context, source: CandleSource, intake: Intake, deadline_sec: float = DEADLINE_SEC
    ) -> None:
        self._context = context
        self._source = source
        self._intake = intake
        self._deadline_sec = deadline_sec
        self._lock = anyio.Lock()

    @property
    def busy(self) -> bool:
        """Whether a fetch is under way."""
        return self._lock.locked()

    async def run(self, instrument: str, count: int) -> Fetched:
        """Fetch the last ``count`` minutes of an open market, store them, and hand them to the intake.

        Raises SourceUnreachableError where the source is away or takes too long, RefusedError where it says no, StoreUnreachableError.
        """
        async with self._lock:
            try:
                with anyio.fail_after(self._deadline_sec):
                    return await self._run(instrument, count)
            except TimeoutError as error:
                raise SourceUnreachableError(
                    f"{self._source.name} did not give {count} candles of {instrument} within {self._deadline_sec:g} s; ask again, or for fewer."
                ) from error
            except InputError as error:
                raise RefusedError(f"What {self._source.name} answered cannot be used: {error}") from error

    async def _run(self, instrument: str, count: int) -> Fetched:
        context, market = self._context, self._context.market
        now = context.clock.now()
        refused: Counter[str] = Counter()
        parts = []
        async for page in self._source.fetch(instrument, since(context.calendar, count, now), now):
            checked = columns.check(page.candles, now_ms=now)
            refused += Counter(page.refused) + Counter(checked.refused)
            if checked.candles.size:
                await context.store.put_candles(instrument, market.granularity, checked.candles)
                self._intake.offer(instrument, checked.candles)
                parts.append(checked.candles)
        for reason, times in refused.items():
            context.telemetry.candles(instrument, reason, times)
        found = columns.concatenate(parts)
        context.telemetry.candles(instrument, "stored", found.size)
        log.info("candles.fetched", instrument=instrument, count=count, stored=found.size, refused=dict(refused))
        return Fetched(
            instrument=instrument,
            granularity=market.granularity,
            count=count,
            stored=found.size,
            t0_ms=int(found.t[0]) if found.size else None,
            t1_ms=int(found.t[-1]) if found.size else None,
            refused=dict(refused),
        )
