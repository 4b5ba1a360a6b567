"""Candle files for the commands."""

from __future__ import annotations

import anyio

from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.core.candles import DAY_MS, Candles, concatenate

HEADER = "time_ms,open,high,low,close,volume"
MONDAY_MS = 1_709_510_400_000  # 2024-03-04


def csv(*rows: str, header: str = HEADER) -> str:
    return "\n".join((header, *rows)) + "\n"


def simulated(instrument: str, days: int) -> Candles:
    """Return candles of the simulated market, from MONDAY_MS on."""

    async def fetch() -> Candles:
        pages = SimulatedSource().fetch(instrument, MONDAY_MS, MONDAY_MS + days * DAY_MS)
        return concatenate([page.candles async for page in pages])

    return anyio.run(fetch)


def written(candles: Candles) -> str:
    """Return candles as CSV."""
    columns = (column.tolist() for column in candles[:6])
    return csv(*(",".join(map(repr, row)) for row in zip(*columns, strict=True)))
