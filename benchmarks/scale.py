"""Time the three loops over many simulated instruments, real Valkey, two workers.

``python -m benchmarks.scale [--instruments N,…] [--days D] [--json]``. Minutes pass by a virtual clock, one step each; the
figures are what a step of each loop takes on this machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import anyio
from redis.asyncio import Redis

from hotbandd import desk, parts
from hotbandd.adapters import log, metrics
from hotbandd.adapters.clock import VirtualClock
from hotbandd.adapters.compute import ProcessCompute
from hotbandd.adapters.embedded_valkey import embedded
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.adapters.simulator.defaults import DEMO_START_MS
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.core.candles import MINUTE_MS
from hotbandd.services.loop import Due
from hotbandd.settings import Settings, load

MINUTES = 45  # three slots of the evaluator, four of the allocator
EVALUATE, ALLOCATE = 15, 10
LAG_MS = 10_000
MB = 2**20


def names(count: int) -> tuple[str, ...]:
    """Return the names of some instruments that nobody trades."""
    letters = string.ascii_uppercase
    return tuple(f"EUR_{letters[i // 676]}{letters[i // 26 % 26]}{letters[i % 26]}" for i in range(count))


def settings(count: int, days: int) -> Settings:
    """Return the defaults for so many instruments, each open whenever the market is; two days of candles as members, the rest packed."""
    chosen = {"CANDLE_HOT_DAYS": "2", "CANDLE_RETENTION_DAYS": str(days), "SIGNAL_RETENTION_DAYS": "1"}
    loaded = load({"HOTBAND_SOURCE": "simulated", **chosen}, None).settings
    return replace(loaded, pairs=names(count), session_trading_enabled=False, workers=2)


class Meter:
    """What a server did, and this process used, since a moment."""

    def __init__(self, server: Redis) -> None:
        self._server = server
        self._before: dict[str, float] = {}

    async def begin(self) -> None:
        """Count from now on."""
        self._before = await self._now()

    async def since(self) -> dict[str, float]:
        """Return server_cpu_sec, cpu_sec (of this process), commands and bytes."""
        return {name: value - self._before[name] for name, value in (await self._now()).items()}

    async def _now(self) -> dict[str, float]:
        told: dict[str, float] = await self._server.info()
        return {
            "server_cpu_sec": told["used_cpu_user"] + told["used_cpu_sys"],
            "cpu_sec": time.process_time(),
            "commands": told["total_commands_processed"],
            "bytes": told["total_net_input_bytes"],
        }


async def timed(step: Awaitable[object]) -> float:
    """Await a step; return its seconds."""
    began = time.perf_counter()
    await step
    return time.perf_counter() - began


async def stepped(one: desk.Desk, clock: VirtualClock) -> dict[str, list[float]]:
    """Let minutes pass; return the seconds of each step, by loop."""
    taken: dict[str, list[float]] = {"hydrator": [], "evaluator": [], "allocator": []}
    for minute in range(1, MINUTES + 1):
        now = DEMO_START_MS + minute * MINUTE_MS
        clock._now = now + LAG_MS
        taken["hydrator"].append(await timed(one.hydrator.step(Due(now, now))))
        if minute % EVALUATE == 0:
            taken["evaluator"].append(await timed(one.evaluator.step(Due(now, now))))
        if minute % ALLOCATE == 0:
            taken["allocator"].append(await timed(one.allocator.step(Due(now, now))))
    return taken


async def measure(count: int, days: int) -> dict[str, float]:
    """Return the figures for so many instruments."""
    chosen, clock = settings(count, days), VirtualClock(DEMO_START_MS)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            embedded(Path(folder)) as url,
            open_valkey(url, parts.ages(chosen)) as store,
            Redis.from_url(url) as server,
        ):
            compute, meter = ProcessCompute(chosen.workers), Meter(server)
            outside = desk.Outside(store, SimulatedSource(), compute, clock, metrics.telemetry(clock.now))
            one = desk.desk(chosen, outside)
            lease = await store.acquire_lease("benchmark", 86_400_000)
            if lease is None:
                raise AssertionError("nobody else should lead")
            one.context.leadership.gain(lease)
            began = time.perf_counter()
            while not one.context.market.loaded.is_set():
                await one.hydrator.step(Due(clock.now(), clock.now()))
            loaded = time.perf_counter() - began
            first = await timed(one.evaluator.step(Due(DEMO_START_MS, DEMO_START_MS)))
            await meter.begin()
            taken = await stepped(one, clock)
            used = {
                f"{name}_per_instrument_minute": found / count / MINUTES
                for name, found in (await meter.since()).items()
            }
            series = one.context.market.series.values()
            held = {
                "candles": sum(each.size for each in series),
                "series_mb": sum(each.nbytes for each in series) / MB,
                "valkey_mb": (await server.info("memory"))["used_memory"] / MB,
                "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB,
            }
            await compute.aclose()
    return {
        "instruments": count,
        "load_sec": loaded,
        "first_evaluation_sec": first,
        **{f"{name}_sec": statistics.median(seconds) for name, seconds in taken.items()},
        **{f"{name}_worst_sec": max(seconds) for name, seconds in taken.items()},
        **held,
        **used,
    }


def main() -> None:
    """Print the figures, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", default="8,100")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    log.configure("error", "console", interactive=False, secrets=())
    for count in map(int, chosen.instruments.split(",")):
        found = anyio.run(measure, count, chosen.days, backend_options={"use_uvloop": True})
        print(
            json.dumps(found) if chosen.json else "\n".join(f"{name:38} {value:14.5g}" for name, value in found.items())
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
