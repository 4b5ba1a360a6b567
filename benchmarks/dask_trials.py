"""Trials on Dask: how many a second with one worker and with two, against the pool of processes, and what each process holds.

``python -m benchmarks.dask_trials [--instruments N] [--sets N] [--days D] [--kinds "pool 2,dask 1,dask 2,restart"] [--json]``. Scheduler,
workers, this process and Valkey share the machine, so compare ratios of one run, and mind its cores. ``restart``: a run is interrupted
once a third is done, and gone on with. In the end a report is made of the last run, on two processes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from redis.asyncio import Redis

from benchmarks.scale import names
from hotbandd import parts
from hotbandd.adapters import plots, strategies
from hotbandd.adapters.compute import ProcessCompute
from hotbandd.adapters.dask_compute import DaskCompute
from hotbandd.adapters.embedded_valkey import embedded
from hotbandd.adapters.files import FolderArtifacts
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.adapters.simulator.defaults import DEMO_START_MS as NOW
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.trials import ValkeyTrials
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core import trials
from hotbandd.core.candles import DAY_MS
from hotbandd.core.trials import Spec
from hotbandd.operations.progress import Silent
from hotbandd.operations.report import Report
from hotbandd.operations.trials import BEFORE_DAYS, SET_DAYS_A_TASK, Done, Trials
from hotbandd.ports import Compute, Store, TrialArchive
from hotbandd.settings import Settings, load
from tests.dask_cluster import cluster
from tests.processes import command_line, descendants
from tests.valkey import eventually

_CHOSEN = {"HOTBAND_SOURCE": "simulated", "CANDLE_HOT_DAYS": "3"}
SETTINGS = replace(load(_CHOSEN, None).settings, session_trading_enabled=False)
LOOK_SEC = 0.2


def spec_of(instruments: int, sets: int, days: int) -> Spec:
    """Return a spec of so many sets: thresholds and look-backs by the square root, so that directions are few, as people ask for them."""
    side = max(1, math.isqrt(sets))
    axes = {
        "c_min": [round(0.3 + 0.5 * i / (sets // side), 4) for i in range(sets // side)],
        "dir_threshold_bps": [round(0.5 + 4 * i / side, 4) for i in range(side)],
    }
    document = {
        "window_days": days,
        "defaults": axes,
        "instruments": [{"instrument": name} for name in names(instruments)],
    }
    return trials.parse(document, strategies.rules())


def runner(store: Store, archive: TrialArchive, compute: Compute, spec: Spec, settings: Settings = SETTINGS) -> Trials:
    """Return trials over a store."""
    return Trials(
        store=store,
        archive=archive,
        compute=compute,
        calendar=parts.calendar(settings),
        setup=parts.setup(settings),
        default_setup=parts.default_setup(),
        base=dict.fromkeys(spec.instruments, parts.params(settings)),
        family=settings.kernel,
        granularity=settings.candle_gran,
        holder="benchmark",
        progress=Silent(),
    )


class Watched:
    """What processes hold at most while they are watched, in bytes of resident memory, and the seconds that they work, by what they are."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}
        self._worked: dict[tuple[str, int], list[float]] = {}

    @property
    def worked(self) -> dict[str, float]:
        """Seconds of processors, by kind."""
        sums: dict[str, float] = {}
        for (kind, _), (first, last) in self._worked.items():
            sums[kind] = sums.get(kind, 0.0) + last - first
        return sums

    async def watch(self, root: int) -> None:
        """Look at a process and all that descend from it, for ever."""
        while True:
            for pid in descendants(root):
                words = command_line(pid)
                kind = next(
                    (word for word in ("scheduler", "worker", "forkserver", "valkey", "spawn") if word in words), ""
                )
                self._note({"spawn": "worker", "forkserver": "pool", "": "client"}.get(kind, kind), pid)
            await anyio.sleep(LOOK_SEC)

    def _note(self, kind: str, pid: int) -> None:
        try:
            held = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
            user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        except FileNotFoundError:
            return
        seconds = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        self._worked.setdefault((kind, pid), [seconds, seconds])[1] = seconds
        self.most[kind] = max(self.most.get(kind, 0), held)


@asynccontextmanager
async def computing(kind: str, home: Path) -> AsyncIterator[Compute]:
    """Start what a run computes on: ``pool 2``, ``dask 1``, ``dask 2``."""
    name, _, workers = kind.partition(" ")
    if name == "pool":
        pool = ProcessCompute(int(workers))
        yield pool
        await pool.aclose()
        return
    home.mkdir()
    with cluster(home, workers=int(workers), nanny=True) as running:
        dask = DaskCompute(running.place)
        while True:
            await dask.connect()
            await anyio.sleep(1)
            if dask.width == int(workers):
                break
        yield dask
        await dask.aclose()


async def measure(instruments: int, sets: int, days: int, kinds: Sequence[str]) -> dict[str, Any]:
    """Return the figures of runs on some kinds of workers."""
    spec, found = spec_of(instruments, sets, days), {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        async with embedded(home / "valkey") as url, Redis.from_url(url, protocol=2) as raw:
            backend = ValkeyBackend(url)
            store, archive = DocumentStore(backend, parts.ages(SETTINGS)), ValkeyTrials(backend)
            source = SimulatedSource()
            for name in spec.instruments:
                async for page in source.fetch(name, NOW - (days + BEFORE_DAYS) * DAY_MS, NOW):
                    await store.put_candles(name, SETTINGS.candle_gran, page.candles)
            for kind in kinds:
                await forget(raw)
                if kind == "restart":
                    found[kind] = await restarted(raw, store, archive, spec, home)
                    continue
                before = (await raw.info("memory"))["used_memory"]
                async with computing(kind, home / kind.replace(" ", "")) as compute:
                    found[kind] = await one(runner(store, archive, compute, spec), spec)
                used = (await raw.info("memory"))["used_memory"] - before
                found[kind]["valkey_bytes_per_trial"] = used / trials.count(spec)
            found["report"] = await reported(archive, home)
            await store.aclose()
    return found


async def forget(raw: Redis) -> None:
    """Delete all trials."""
    async for key in raw.scan_iter("bt:*", count=1000):
        await raw.unlink(key)


async def one(run: Trials, spec: Spec) -> dict[str, Any]:
    """Time a run of a spec."""
    async with costs() as found:
        done = await run.run(spec, NOW)
    assert done.now == trials.count(spec)
    return {"trials_per_second": done.now / found["seconds"], **found}


async def reported(archive: ValkeyTrials, home: Path) -> dict[str, Any]:
    """Time a report of the trials that are stored."""
    pool = ProcessCompute(2)
    async with costs() as found:
        await Report(archive, FolderArtifacts(home), pool, plots.report_page, Silent()).run(1, 5, NOW)
    await pool.aclose()
    return found


@asynccontextmanager
async def costs() -> AsyncIterator[dict[str, Any]]:
    """Yield a place for what the block costs; it is filled when the block ends."""
    watched, found = Watched(), dict[str, Any]()
    async with anyio.create_task_group() as group:
        group.start_soon(watched.watch, os.getpid())
        began = time.perf_counter()
        yield found
        found["seconds"] = time.perf_counter() - began
        group.cancel_scope.cancel()
    found["cpu_sec"] = {kind: round(worked, 1) for kind, worked in sorted(watched.worked.items())}
    found["most_mb"] = {kind: round(held / 1e6) for kind, held in sorted(watched.most.items())}


async def restarted(raw: Redis, store: Store, archive: ValkeyTrials, spec: Spec, home: Path) -> dict[str, Any]:
    """Interrupt a run once a third is done, and go on with it."""
    total = trials.count(spec)

    async def third() -> bool:
        packs = -(-total // len(spec.instruments) // (SET_DAYS_A_TASK // spec.window_days)) * len(spec.instruments)
        return 3 * len(await archive.finished(trials.spec_hash(spec))) >= packs

    async with computing("dask 2", home / "restart") as compute:
        run = runner(store, archive, compute, spec)
        async with anyio.create_task_group() as group:
            group.start_soon(run.run, spec, NOW)
            await eventually(third, 3600)
            group.cancel_scope.cancel()
        began = time.perf_counter()
        done: Done = await run.run(spec, NOW + DAY_MS // 4)
    return {"before": done.before, "now": done.now, "total": done.total, "seconds": time.perf_counter() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instruments", type=int, default=20)
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--kinds", default="pool 2,dask 1,dask 2,restart")
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    asked = words.instruments, words.sets, words.days, words.kinds.split(",")
    found = anyio.run(measure, *asked, backend_options={"use_uvloop": True})
    if words.json:
        print(json.dumps(found))
        return
    print(f"{words.instruments} instruments, {words.sets} sets, {words.days} days, {os.cpu_count()} cores")
    for kind, figures in found.items():
        print(f"{kind:8}", ", ".join(f"{name} {_text(value)}" for name, value in figures.items()))
    rate = {kind: figures["trials_per_second"] for kind, figures in found.items() if "trials_per_second" in figures}
    for other in rate.keys() & {"dask 1", "pool 2"} if "dask 2" in rate else ():
        print(f"dask 2 : {other} = {rate['dask 2'] / rate[other]:.2f}")


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
