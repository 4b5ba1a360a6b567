"""A process that stores candles and packs them, as fast as it can: ``python -m tests.faults.packing URL SEED``.

It tells of each part that is stored, and of the end; started again it goes on behind the newest stored candle.
"""

from __future__ import annotations

import random
import sys

import anyio
import numpy as np

from hotbandd.adapters.store.opening import open_valkey
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, of_columns
from tests.adapters.store_samples import AGES, PAIR

FIRST = 20_000 * DAY_MS
DAYS = 16
AGES_PACKED = AGES._replace(candles_days=40, candles_hot_days=2)
STEP_MIN = 10


def candles() -> Candles:
    """Return all candles, one every ten minutes."""
    t = FIRST + np.arange(0, DAYS * 1440, STEP_MIN, dtype=np.int64) * MINUTE_MS
    close = np.round(1.1 + np.sin(np.arange(len(t)) / 50) / 100, 5)
    return of_columns(t, close, close + 1e-4, close - 1e-4, close, np.full(len(t), 5.0))


def tell(line: str) -> None:
    """Write a line to whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def store(url: str, seed: int) -> None:
    """Store what is not stored yet, in parts, now and then some of it again."""
    draw, whole = random.Random(seed), candles()
    async with open_valkey(url, AGES_PACKED) as stored:
        there = (await stored.candles(PAIR, "M1", 0, 2**53)).candles.size
        while there < whole.size:
            part = slice(max(0, there - draw.randrange(300)), there + draw.randrange(1, 60))
            await stored.put_candles(PAIR, "M1", whole.take(part))
            there = min(part.stop, whole.size)
            tell(str(there))
        await stored.put_candles(PAIR, "M1", whole.take(slice(-1, None)))
        tell("done")


if __name__ == "__main__":
    anyio.run(store, sys.argv[1], int(sys.argv[2]))
