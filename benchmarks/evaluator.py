"""Time whole cycles of the evaluator, from a real Valkey and warm: ``python -m benchmarks.evaluator [--json]``."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np

from hotbandd import daemon, parts
from hotbandd.adapters import log, metrics
from hotbandd.adapters.clock import VirtualClock
from hotbandd.adapters.compute import InlineCompute
from hotbandd.adapters.embedded_valkey import embedded
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.adapters.simulator.defaults import DEMO_START_MS
from hotbandd.adapters.store.memory import MemoryStore
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.core import manifold
from hotbandd.core.candles import MINUTE_MS, Candles, of_columns
from hotbandd.ports import Store
from hotbandd.services.loop import Due
from hotbandd.settings import Settings, load

DAYS = 90
SLOT_MS = 900_000
MANY = 200
WALK = 60_000  # minutes of 90 days in which the FX week is open, roughly


def settings(pairs: int = 0) -> Settings:
    """Return the defaults over a simulated market; with more pairs than there are, invented ones."""
    loaded = load({"HOTBAND_SOURCE": "simulated", "CANDLE_HOT_DAYS": str(DAYS)}, None).settings
    names = tuple(f"EUR_X{i:03}" for i in range(pairs)) or loaded.pairs
    return replace(loaded, pairs=names, session_trading_enabled=not pairs)


async def build(chosen: Settings, clock: VirtualClock, store: Store) -> daemon.Desk:
    """Build a desk that leads."""
    outside = daemon.Outside(store, SimulatedSource(), InlineCompute(), clock, metrics.telemetry(clock.now))
    desk = daemon.desk(chosen, outside)
    lease = await store.acquire_lease("benchmark", 600_000)
    if lease is None:
        raise AssertionError("nobody else should lead")
    desk.context.leadership.gain(lease)
    return desk


async def cold(folder: Path) -> dict[str, float]:
    """Time a start from Valkey alone, up to a published blob; then slots with fifteen new candles each."""
    chosen, begin = settings(), DEMO_START_MS
    async with embedded(folder) as url, open_valkey(url, parts.ages(chosen)) as store:
        await (await build(chosen, VirtualClock(begin), store)).hydrator.step(Due(begin, begin))
        began = time.perf_counter()
        clock = VirtualClock(begin)
        desk = await build(chosen, clock, store)
        await desk.hydrator._intake.restore(chosen.pairs, begin)
        restored = time.perf_counter()
        for series in desk.context.market.series.values():
            manifold.measure_series(series, "calibrated")
        measured = time.perf_counter()
        await desk.evaluator.step(Due(begin, begin))
        published = time.perf_counter()
        warm = []
        for slot in range(begin + SLOT_MS, begin + 9 * SLOT_MS, SLOT_MS):
            clock._now = slot
            await desk.hydrator.step(Due(slot, slot))
            at = time.perf_counter()
            await desk.evaluator.step(Due(slot, slot))
            warm.append(time.perf_counter() - at)
        return {
            "instruments": len(chosen.pairs),
            "candles": sum(series.size for series in desk.context.market.series.values()),
            "read_sec": restored - began,
            "measure_sec": measured - restored,
            "evaluate_sec": published - measured,
            "cold_sec": published - began,
            "warm_sec": float(np.median(warm)),
        }


def walk(seed: int, n: int) -> Candles:
    """Draw a Gaussian walk of minutes."""
    random = np.random.default_rng(seed)
    close = np.exp(np.cumsum(random.standard_normal(n)) * 1.5e-4)
    opened = np.concatenate((close[:1], close[:-1]))
    high, low = np.maximum(opened, close) * (1 + 5e-5), np.minimum(opened, close) * (1 - 5e-5)
    t = DEMO_START_MS + (np.arange(n, dtype=np.int64) - WALK) * MINUTE_MS
    return of_columns(t, opened, high, low, close, np.ones(n))


async def many() -> dict[str, float]:
    """Time slots of many instruments with fifteen new candles each."""
    chosen = settings(MANY)
    clock = VirtualClock(DEMO_START_MS)
    desk = await build(chosen, clock, MemoryStore(parts.ages(chosen), clock.now))
    slots = [DEMO_START_MS + i * SLOT_MS for i in range(5)]
    walks = [walk(seed, WALK + 15 * len(slots)) for seed in range(len(chosen.pairs))]
    taken = []
    for slot, reach in stretches(slots):
        clock._now = slot
        for series, candles in zip(desk.context.market.series.values(), walks, strict=True):
            series.add(candles.take(reach))
            manifold.measure_series(series, "calibrated")
        began = time.perf_counter()
        await desk.evaluator.step(Due(slot, slot))
        taken.append(time.perf_counter() - began)
    return {
        "instruments": MANY,
        "candles": MANY * WALK,
        "evaluate_sec": taken[0],
        "warm_sec": float(np.median(taken[1:])),
    }


def stretches(slots: list[int]) -> Iterator[tuple[int, slice]]:
    """Iterate over slots and the candles that are new at each."""
    for i, slot in enumerate(slots):
        yield slot, slice(0 if not i else WALK + 15 * (i - 1), WALK + 15 * i)


async def measure() -> dict[str, dict[str, float]]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as folder:
        few = await cold(Path(folder))
    return {"eight": few, "many": await many()}


def main() -> None:
    """Print the figures, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    log.configure("warning", "console", interactive=False, secrets=())
    found: dict[str, Any] = anyio.run(measure, backend_options={"use_uvloop": True})
    if parser.parse_args().json:
        print(json.dumps(found))
        return
    few, lots = found["eight"], found["many"]
    print(
        f"cold, {few['instruments']} instruments × {DAYS} days from Valkey ({few['candles']} candles): {few['cold_sec']:.2f} s "
        f"(read {few['read_sec']:.2f}, measure {few['measure_sec']:.2f}, evaluate {few['evaluate_sec']:.2f})"
    )
    print(f"warm, {few['instruments']} instruments, 15 new candles each: {few['warm_sec'] * 1000:.1f} ms")
    print(
        f"{lots['instruments']} instruments: first {lots['evaluate_sec']:.2f} s, warm {lots['warm_sec'] * 1000:.0f} ms"
    )


if __name__ == "__main__":
    main()
