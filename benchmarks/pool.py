"""Where a task should run: in this process, in the pool with its arrays pickled, or in the pool through shared memory.

python -m benchmarks.pool [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import anyio
import numpy as np
from rich.console import Console
from rich.table import Table

from hotbandd.adapters.compute import ProcessCompute
from hotbandd.core.candles import MINUTE_MS, Candles
from hotbandd.core.manifold import WINDOW, structures_of

SIZES = (1, 15, 200, 1000, 5000, 20_000, 130_000)
REPEATS = 7


def walk(n: int) -> Candles:
    """A Gaussian walk of n candles."""
    draw = np.random.default_rng(1)
    close = np.exp(np.cumsum(draw.standard_normal(n)) * 1e-4)
    nan = np.full(n, np.nan)
    volume = draw.integers(1, 50, n).astype(np.float64)
    return Candles(np.arange(n) * MINUTE_MS, close, close * 1.0001, close * 0.9999, close, volume, nan, nan)


def shared(name: str, n: int, family: Any) -> int:
    """Measure columns that lie in shared memory, and put the metrics behind them."""
    memory = SharedMemory(name, track=False) if sys.version_info >= (3, 13) else SharedMemory(name)
    columns = np.ndarray((8 + 4, n), dtype=np.float64, buffer=memory.buf)
    structure = structures_of(family, [Candles(columns[0].astype(np.int64), *columns[1:8])])[0]
    for out, column in zip(columns[8:], structure, strict=True):
        out[: len(column)] = column
    del columns, out
    memory.close()
    return len(structure.coherence)


async def through_memory(pool: ProcessCompute, candles: Candles) -> None:
    """Send and fetch arrays through a block of shared memory."""
    memory = SharedMemory(create=True, size=12 * 8 * candles.size)
    try:
        columns = np.ndarray((12, candles.size), dtype=np.float64, buffer=memory.buf)
        for place, column in zip(columns, candles, strict=False):
            place[:] = column
        windows = await pool.run(shared, memory.name, candles.size, "calibrated")
        [column[:windows].copy() for column in columns[8:]]
        del columns, place
    finally:
        memory.close()
        memory.unlink()


async def best_ms(task: Callable[[], Awaitable[Any]]) -> float:
    """Return the shortest of several runs, ms."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        await task()
        taken.append(time.perf_counter() - began)
    return min(taken) * 1000


async def measured() -> list[dict[str, float]]:
    """Measure every size each way."""
    pool = ProcessCompute(1)
    rows = []
    try:
        for windows in SIZES:
            candles = walk(windows + WINDOW)

            async def here(candles: Candles = candles) -> None:
                structures_of("calibrated", [candles])

            rows.append(
                {
                    "windows": windows,
                    "in process, ms": await best_ms(here),
                    "pool, pickled, ms": await best_ms(lambda c=candles: pool.run(structures_of, "calibrated", [c])),  # type: ignore[misc]
                    "pool, shared memory, ms": await best_ms(lambda c=candles: through_memory(pool, c)),  # type: ignore[misc]
                }
            )
    finally:
        await pool.aclose()
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    rows = anyio.run(measured)
    if parser.parse_args().json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table(*rows[0], title="One task of the calibrated family")
    for row in rows:
        table.add_row(*(f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
