"""Measure the room that an instrument takes, in Valkey and in the process: ``python -m benchmarks.room [FILE…] [--json]``.

Over 90 days of the simulated market, and of the candle files named, such as ``EUR_USD_M1.csv.gz``.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from redis.asyncio import Redis

from hotbandd import daemon, parts
from hotbandd.adapters import log, memory, metrics
from hotbandd.adapters.clock import VirtualClock
from hotbandd.adapters.compute import InlineCompute, ProcessCompute
from hotbandd.adapters.embedded_valkey import embedded
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.adapters.simulator.defaults import DEMO_START_MS
from hotbandd.adapters.store import keys
from hotbandd.adapters.store.opening import backend_at, open_valkey
from hotbandd.adapters.store.signals import ValkeySignals
from hotbandd.core import manifold, manifold_documents
from hotbandd.core.candle_files import read_candles
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, concatenate
from hotbandd.core.documents import EvaluationPoint, Signal
from hotbandd.core.series import Series
from hotbandd.ports import Compute, Store
from hotbandd.services.loop import Due
from hotbandd.settings import Settings, load

PAIR, OTHER = "EUR_USD", "USD_JPY"
DAYS = 90
HOT = (DAYS, 7, 4, 3, 2)
SIGNAL_DAYS = (7, 1)
FEW, MORE = 2, 6  # instruments of two whole processes; what they differ by is an instrument's
RESIDENT = 5, 35
SLOT_MS = 900_000
SLOTS = 30 * DAY_MS // SLOT_MS
MB = 1e6

Row = dict[str, Any]


def settings(**given: str) -> Settings:
    """Return the defaults over a simulated market."""
    days = {"CANDLE_HOT_DAYS": str(DAYS), "CANDLE_RETENTION_DAYS": str(DAYS)}
    return load({"HOTBAND_SOURCE": "simulated", **days, **given}, None).settings


async def markets(files: Sequence[Path]) -> AsyncIterator[tuple[str, Candles]]:
    """Iterate over what is measured: its name, and the last 90 days of it."""
    fetched = SimulatedSource().fetch(PAIR, DEMO_START_MS - DAYS * DAY_MS, DEMO_START_MS)
    yield "simulated", concatenate([page.candles async for page in fetched])
    for file in files:
        candles = read_candles(file.read_bytes(), file.name).candles
        yield file.name, candles.take(slice(int(candles.t.searchsorted(candles.t[-1] - DAYS * DAY_MS)), None))


@asynccontextmanager
async def server() -> AsyncIterator[tuple[str, Redis]]:
    """Start an empty Valkey."""
    with tempfile.TemporaryDirectory() as folder:
        async with embedded(Path(folder)) as url, Redis.from_url(url) as raw:
            yield url, raw


async def used(raw: Redis) -> int:
    """Return what the server holds, bytes."""
    return int((await raw.info("memory"))["used_memory"])


async def in_valkey(name: str, candles: Candles) -> list[Row]:
    """Return what the candles of an instrument take for different numbers of hot days."""
    rows = []
    for hot in HOT:
        async with server() as (url, raw):
            async with open_valkey(url, parts.ages(settings(CANDLE_HOT_DAYS=str(hot)))) as store:
                await store.put_candles(OTHER, "M1", candles.take(slice(0, 1)))  # what scripts take is taken now
                before = await used(raw)
                began = time.perf_counter()
                for start in range(0, candles.size, 4320):  # as a back-fill does, three days at a time
                    await store.put_candles(PAIR, "M1", candles.take(slice(start, start + 4320)))
                put = time.perf_counter() - began
                began = time.perf_counter()
                found = (await store.candles(PAIR, "M1", 0, 2**53)).candles
                read = time.perf_counter() - began
                if found.size != candles.size:
                    raise AssertionError("what was put is not what is read")
            room = (await used(raw) - before) / MB  # without the buffers of the connections that are closed by now
            rows.append(
                {
                    "candles": name,
                    "minutes": candles.size,
                    "hot_days": hot,
                    "valkey_mb": room,
                    "put_sec": put,
                    "read_sec": read,
                }
            )
    return rows


def signals(series: Series) -> list[Signal]:
    """Return the signals of a series."""
    form = parts.form(settings())
    rows = manifold_documents.rows_of(series, 0, "calibrated", form, textured=False)
    return manifold_documents.signals(rows, "calibrated")


async def of_signals(name: str, series: Series) -> list[Row]:
    """Return what the signals of an instrument take."""
    rows, made = [], signals(series)
    for days in SIGNAL_DAYS:
        async with server() as (url, raw):
            backend = backend_at(url)
            archive = ValkeySignals(backend, parts.ages(settings(SIGNAL_RETENTION_DAYS=str(days))))
            await archive.put_signals(OTHER, made[:1])
            before = await used(raw)
            await archive.put_signals(PAIR, made)
            await backend.aclose()
            kept = await raw.zcard(keys.signal_index(PAIR))
            room = (await used(raw) - before) / MB
            rows.append({"candles": name, "signal_days": days, "signals": kept, "valkey_mb": room})
    return rows


def in_memory(name: str, candles: Candles) -> tuple[Row, Series]:
    """Return what candles and metrics of an instrument take in the process, before and after they are packed."""
    series = Series()
    series.add(candles)
    manifold.measure_series(series, "calibrated")
    before, days, began = series.nbytes, 0, time.perf_counter()
    while series.pack():
        days += 1
    took = time.perf_counter() - began
    series.tighten()
    row = {
        "candles": name,
        "minutes": candles.size,
        "plain_mb": before / MB,
        "packed_mb": series.nbytes / MB,
        "pack_ms_per_day": 1000 * took / days,
    }
    return row, series


def many(count: int) -> tuple[str, ...]:
    """Return the names of some instruments."""
    return tuple(f"EUR_X{i:02}" for i in range(count))


async def remember(store: Store, lease: Any, pairs: Iterable[str], key: str) -> None:
    """Store a month of evaluations of each instrument, as they are after a month."""
    slots = range(DEMO_START_MS - SLOTS * SLOT_MS, DEMO_START_MS, SLOT_MS)
    for i, pair in enumerate(pairs):
        points = [
            EvaluationPoint(ts=ts, trades=ts // SLOT_MS % 97, calmar=ts % 1009 / 7 + i, pnl_total=0.1) for ts in slots
        ]
        await store.put_evaluation_points(lease, pair, key, points)


@asynccontextmanager
async def led(count: int, compute: Compute) -> AsyncIterator[Store]:
    """Run the loops over so many instruments: load their history, then some slots with a month of evaluations before them."""
    chosen = replace(settings(CANDLE_HOT_DAYS="3"), pairs=many(count), session_trading_enabled=False)
    clock = VirtualClock(DEMO_START_MS)
    async with server() as (url, _), open_valkey(url, parts.ages(chosen)) as store:
        outside = daemon.Outside(
            store,
            SimulatedSource(),
            compute,
            clock,
            metrics.telemetry(clock.now),
            give_back_memory=memory.give_back,
        )
        desk = daemon.desk(chosen, outside)
        lease = await store.acquire_lease("benchmark", 3_600_000)
        if lease is None:
            raise AssertionError("nobody else should lead")
        desk.context.leadership.gain(lease)
        while not desk.context.market.loaded.is_set():
            await desk.hydrator.step(Due(clock.now(), clock.now()))
        await desk.evaluator.step(Due(DEMO_START_MS, DEMO_START_MS))
        await remember(store, lease, chosen.pairs, desk.evaluator._in_force.key(chosen.pairs[0]))
        desk.evaluator._evaluations.read_anew()
        for slot in range(DEMO_START_MS + SLOT_MS, DEMO_START_MS + 5 * SLOT_MS, SLOT_MS):
            clock._now = slot + MINUTE_MS
            await desk.hydrator.step(Due(slot, slot))
            await desk.evaluator.step(Due(slot, slot))
            await desk.allocator.step(Due(slot, slot))
        gc.collect()
        yield store


async def held(count: int) -> tuple[int, dict[str, int]]:
    """Return what a whole process holds with so many instruments, bytes: all of it, and by the file that asked for it."""
    tracemalloc.start()
    async with led(count, InlineCompute()):
        by_file: dict[str, int] = {}
        for one in tracemalloc.take_snapshot().statistics("filename"):
            short = "/".join(Path(one.traceback[0].filename).parts[-2:])
            by_file[short] = by_file.get(short, 0) + one.size
    tracemalloc.stop()
    return sum(by_file.values()), by_file


async def resident(count: int) -> int:
    """Return what is resident of this process with so many instruments, bytes (Linux)."""
    memory.keep_large_apart()
    compute = ProcessCompute(1)
    try:
        async with led(count, compute):
            return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    finally:
        await compute.aclose()


async def resident_apart(count: int) -> int:
    """Return the same of a process of its own."""
    found = await anyio.run_process([sys.executable, "-m", "benchmarks.room", "--resident", str(count)])
    return int(found.stdout)


async def whole() -> Row:
    """Return what one more instrument adds to a whole process, and the parts of that above 10 kB."""
    few, of_few = await held(FEW)
    more, of_more = await held(MORE)
    each = {name: (size - of_few.get(name, 0)) / (MORE - FEW) / MB for name, size in of_more.items()}
    most = {name: mb for name, mb in sorted(each.items(), key=lambda part: -part[1]) if mb > 0.01}
    apart = [await resident_apart(count) for count in RESIDENT]
    return {
        "held_mb_per_instrument": (more - few) / (MORE - FEW) / MB,
        "resident_mb_per_instrument": (apart[1] - apart[0]) / (RESIDENT[1] - RESIDENT[0]) / MB,
        "by_file_mb": most,
    }


async def measure(files: Sequence[Path]) -> dict[str, Any]:
    """Return all figures."""
    found: dict[str, Any] = {"candles": [], "signals": [], "series": []}
    async for name, candles in markets(files):
        found["candles"] += await in_valkey(name, candles)
        row, series = in_memory(name, candles)
        found["series"].append(row)
        found["signals"] += await of_signals(name, series)
    return {**found, "process": [await whole()]}


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Iterate over the lines of a table."""
    yield "  ".join(f"{name:>16}" for name in rows[0])
    for row in rows:
        yield "  ".join(f"{value:>16.4g}" if isinstance(value, float) else f"{value!s:>16}" for value in row.values())


def main() -> None:
    """Print the figures, as tables or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--resident", type=int, metavar="N", help="print what is resident with N instruments, bytes")
    chosen = parser.parse_args()
    log.configure("error", "console", interactive=False, secrets=())
    if chosen.resident:
        print(anyio.run(resident, chosen.resident))
        return
    found = anyio.run(measure, chosen.files, backend_options={"use_uvloop": True})
    if chosen.json:
        print(json.dumps(found))
        return
    for name, rows in found.items():
        print(f"{name}\n" + "\n".join(lines(rows)) + "\n")


if __name__ == "__main__":
    main()
