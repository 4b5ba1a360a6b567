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
from hotbandd.core.manifold import WINDOW, Columns, Family, structures_of

SIZES = (1, 15, 200, 1000, 5000, 20_000, 130_000)
REPEATS = 7
FAMILY: Family = "native"


def walk(n: int) -> Columns:
    """A Gaussian walk of n candles, as the native family takes it: four columns."""
    draw = np.random.default_rng(1)
    close = np.exp(np.cumsum(draw.standard_normal(n)) * 1e-4)
    return Columns(close, close * 1.0001, close * 0.9999, draw.integers(1, 50, n).astype(np.float64))


def shared(name: str, n: int) -> int:
    """Measure columns that lie in shared memory, and put the metrics behind them."""
    memory = SharedMemory(name, track=False) if sys.version_info >= (3, 13) else SharedMemory(name)
    columns = np.ndarray((8, n), dtype=np.float64, buffer=memory.buf)
    structure = structures_of(FAMILY, [Columns(*columns[:4])])[0]
    for out, column in zip(columns[4:], structure, strict=True):
        out[: len(column)] = column
    del columns, out
    memory.close()
    return len(structure.coherence)


async def through_memory(pool: ProcessCompute, columns: Columns) -> None:
    """Send and fetch arrays through a block of shared memory."""
    memory = SharedMemory(create=True, size=8 * 8 * len(columns.close))
    try:
        block = np.ndarray((8, len(columns.close)), dtype=np.float64, buffer=memory.buf)
        for place, column in zip(block, columns, strict=False):
            place[:] = column
        windows = await pool.run(shared, memory.name, len(columns.close))
        [column[:windows].copy() for column in block[4:]]
        del block, place
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
            columns = walk(windows + WINDOW)

            async def here(columns: Columns = columns) -> None:
                structures_of(FAMILY, [columns])

            rows.append(
                {
                    "windows": windows,
                    "in process, ms": await best_ms(here),
                    "pool, pickled, ms": await best_ms(lambda c=columns: pool.run(structures_of, FAMILY, [c])),
                    "pool, shared memory, ms": await best_ms(lambda c=columns: through_memory(pool, c)),
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
    table = Table(*rows[0], title="One task of the native family")
    for row in rows:
        table.add_row(*(f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
