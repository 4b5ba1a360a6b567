"""Workers killed while they compute, while they are idle, and all at once: the pool is back, and no task is lost."""

from __future__ import annotations

import importlib.util
import multiprocessing.forkserver
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import anyio
import httpx
import numpy as np
import pytest

from hotbandd import parts
from hotbandd.adapters.compute import ProcessCompute
from hotbandd.core import manifold
from hotbandd.core.candles import MINUTE_MS
from hotbandd.core.series import Series
from tests.faults.runs import Runs, on_this_machine
from tests.processes import Daemon, command_line, gone, parent, running
from tests.services.scenes import NOW, minutes, settings_of
from tests.valkey import eventually

BACK_SEC = 0.5
PATIENCE_SEC = 10.0
DAEMON = {
    "HOTBAND_SOURCE": "simulated",
    "HOTBAND_PAIRS": "EUR_USD,USD_JPY,AUD_USD",
    "HOTBAND_WORKERS": "2",
    "CANDLE_HOT_DAYS": "35",
    "EVAL_INTERVAL_SEC": "1",
    "DECISION_LAG_SEC": "0",
}
WORKERS = 2
FAMILY = parts.hydrator(settings_of(), "scripted").family
CANDLES = 60_000  # a kernel of a tenth of a second


def worker_pids(pool: ProcessCompute) -> list[int]:
    return sorted(pool._pool.executor._processes or {})


def fork_server_pid(_: ProcessCompute) -> list[int]:
    pid = multiprocessing.forkserver._forkserver._forkserver_pid
    return [pid] if pid else []


@dataclass
class Bench:
    """A pool of two, a kernel's task with its right result, and the moments at which the pool was replaced."""

    pool: ProcessCompute
    columns: list[manifold.Columns]
    wanted: list[manifold.Structure]
    kernel_sec: float
    restarts: list[float]

    async def compute(self) -> None:
        structures = await self.pool.run(manifold.structures_of, FAMILY, self.columns)
        for one, other in zip(structures, self.wanted, strict=True):
            np.testing.assert_equal(one, other)

    async def side_by_side(self, tasks: int) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(self.compute)

    async def answered_after(self, restarts: int) -> bool:
        await self.pool.run(os.getpid)
        return len(self.restarts) > restarts

    async def killed(self, victims: list[int]) -> float:
        """Kill processes; return after how long a task ran in a new worker."""
        before = len(self.restarts)
        killed = time.monotonic()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: self.answered_after(before), 30)
        back = time.monotonic() - killed
        assert len(self.restarts) == before + 1
        gone(set(victims))
        return back


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    # A worker imports the main module: hotbandd's here too, and not the tests'.
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", importlib.util.find_spec("hotbandd.__main__"))
    series = Series()
    series.add(minutes(NOW - CANDLES * MINUTE_MS, NOW))
    columns = [manifold.pending(series, FAMILY)]
    began = time.monotonic()
    wanted = manifold.structures_of(FAMILY, columns)
    kernel_sec = time.monotonic() - began
    restarts: list[float] = []
    pool = ProcessCompute(WORKERS, on_restart=lambda: restarts.append(time.monotonic()))
    yield Bench(pool, columns, wanted, kernel_sec, restarts)
    await pool.aclose()


@pytest.mark.parametrize("busy", [True, False], ids=["in mid-kernel", "idle"])
async def test_a_killed_worker_costs_half_a_second_at_most_and_no_task(runs: Runs, bench: Bench, busy):
    name = f"worker killed {'in mid-kernel' if busy else 'while idle'}"
    for _, random in runs.of(name, "pool back ≤ 0.5 s; every task answered, and right", short=2, full=100):
        await bench.side_by_side(2 * WORKERS)
        workers = sorted(bench.pool._pool.executor._processes or {})
        assert len(workers) == WORKERS
        victims = random.choice([workers[:1], workers[-1:], workers])
        async with anyio.create_task_group() as group:
            if busy:
                group.start_soon(bench.side_by_side, WORKERS)
                await anyio.sleep(random.uniform(0, bench.kernel_sec))
            back = await bench.killed(victims)
        runs.recovered(back)
        assert back <= (on_this_machine(BACK_SEC) if runs.full else PATIENCE_SEC)
    runs.note(f"one worker, or all; a kernel of {bench.kernel_sec:.2f} s")


async def test_without_the_process_that_forks_workers_another_one_does(runs: Runs, bench: Bench):
    promise = "every task answered, and right"
    for _, random in runs.of("process that forks the workers killed", promise, short=1, full=20):
        await bench.side_by_side(2 * WORKERS)
        async with anyio.create_task_group() as group:
            group.start_soon(bench.side_by_side, WORKERS)
            await anyio.sleep(random.uniform(0, bench.kernel_sec))
            forker = multiprocessing.forkserver._forkserver._forkserver_pid
            runs.recovered(await bench.killed([forker]))


def test_a_daemon_whose_workers_are_killed_completes_its_cycle(runs: Runs, tmp_path):
    promise = "history loaded, gates published, no loop failed, the restart counted"
    killed = 0
    for seed, random in runs.of("workers of a daemon killed while it takes its history in", promise, short=1, full=30):
        home = tmp_path / str(seed)
        home.mkdir()
        with running(home, **DAEMON) as daemon:
            daemon.event("intake.restored")
            workers = daemon.until(lambda: forked(daemon), "a worker")
            time.sleep(random.uniform(0, 0.2))
            victims = random.choice([workers[:1], workers])
            for pid in victims:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            daemon.event("hydrator.loaded")
            daemon.event("evaluator.published")
            assert not daemon.events("loop.failed")
            metrics = httpx.get(daemon.event("daemon.started")["http"] + "/metrics").text
            killed += "hotband_worker_restarts_total 1.0" in metrics
            assert daemon.end(signal.SIGTERM) < PATIENCE_SEC
            assert daemon.process.returncode == 0
    runs.note(f"the pool was replaced in {killed}")


def forked(daemon: Daemon) -> list[int]:
    """Return the workers of a daemon: what the process that forks them has forked."""
    family = daemon.family()
    forkers = {pid for pid in family if "multiprocessing.forkserver" in command_line(pid)}
    return sorted(pid for pid in forkers if parent(pid) in forkers)
