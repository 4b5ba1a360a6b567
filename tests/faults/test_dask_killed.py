"""Workers and schedulers of Dask's killed in the middle: finished all the same, or one error in time, and loops that go on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest

from hotbandd.adapters.dask_compute import DaskCompute, link
from hotbandd.errors import ComputeUnreachableError
from tests.adapters.computing import total_slowly
from tests.dask_cluster import cluster, until
from tests.faults.runs import Runs
from tests.processes import running
from tests.valkey import eventually

TASK_SEC = 0.5
GIVEN_UP_SEC = 2.0
PATIENCE_SEC = 30.0
VALUES = np.arange(300_000.0)
DAEMON = {
    "HOTBAND_SOURCE": "simulated",
    "HOTBAND_PAIRS": "EUR_USD,USD_JPY",
    "HOTBAND_WORKERS": "1",
    "HOTBAND_PROCESSING_INTERVAL": "1",
    "CANDLE_HOT_DAYS": "35",
    "EVAL_INTERVAL_SEC": "1",
    "DECISION_LAG_SEC": "0",
}


async def at_work(file: Path) -> int:
    """Wait until a task began; return the number of its process."""

    async def began() -> bool:
        return file.exists() and file.read_text() != ""

    await eventually(began, PATIENCE_SEC)
    return int(file.read_text())


async def test_a_killed_worker_s_tasks_run_again_and_get_their_data_anew(runs: Runs, tmp_path: Path) -> None:
    promise = "every task answered, and right"
    with cluster(tmp_path, workers=1, nanny=True) as dask:
        compute = DaskCompute(dask.place)
        for seed, random in runs.of("Dask worker killed that alone holds the data", promise, short=1, full=30):
            found: list[float] = []
            async with compute.share(VALUES) as shared:

                async def one(number: int) -> None:
                    file = tmp_path / f"{seed}-{number}"  # noqa: B023  ends within the round
                    found.append(await shared.run(total_slowly, str(file), TASK_SEC))  # noqa: B023  ends within the round

                async with anyio.create_task_group() as group:
                    for number in range(3):
                        group.start_soon(one, number)
                    victim = await at_work(tmp_path / f"{seed}-0")
                    await anyio.sleep(random.uniform(0, TASK_SEC))
                    os.kill(victim, signal.SIGKILL)
                    killed = time.monotonic()
            runs.recovered(time.monotonic() - killed)
            assert found == [VALUES.sum()] * 3
        await compute.aclose()


async def test_without_a_scheduler_a_command_ends_in_time_with_one_error(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = f"finished where it is back in time, else one error (here within {GIVEN_UP_SEC:g} s, commands 10 s)"
    for seed, random in runs.of("Dask scheduler killed in mid-task", promise, short=1, full=20):
        home = tmp_path / str(seed)
        home.mkdir()
        monkeypatch.setattr(link, "CONNECT_SEC", PATIENCE_SEC)
        with cluster(home, workers=1) as dask:
            compute = DaskCompute(dask.place)
            async with anyio.create_task_group() as group, compute.share(VALUES) as shared:
                found: list[float] = []

                async def one(file: Path) -> None:
                    found.append(await shared.run(total_slowly, str(file), TASK_SEC))  # noqa: B023  ends within the round

                async def finished() -> bool:
                    return found != []  # noqa: B023  ends within the round

                if runs.full:  # it takes long; the daemon's test has the scheduler back, too
                    group.start_soon(one, home / "first")
                    await at_work(home / "first")
                    await anyio.sleep(random.uniform(0, TASK_SEC / 2))
                    dask.kill_scheduler()
                    await anyio.to_thread.run_sync(dask.start_scheduler)
                    dask.start_worker()
                    await eventually(finished, PATIENCE_SEC)
                    assert found == [VALUES.sum()]
                monkeypatch.setattr(link, "CONNECT_SEC", GIVEN_UP_SEC)

                async def last() -> None:
                    with pytest.raises(ComputeUnreachableError, match="No Dask scheduler answers"):
                        await one(home / "last")  # noqa: B023  ends within the round

                group.start_soon(last)
                await at_work(home / "last")
                dask.kill_scheduler()
                killed = time.monotonic()
            runs.recovered(time.monotonic() - killed)
            assert time.monotonic() - killed < PATIENCE_SEC
            await compute.aclose()


def test_the_daemon_s_loops_go_on_here_and_back_there(runs: Runs, tmp_path: Path) -> None:
    promise = "no step failed; the fallback told in log, status and metric; back on Dask once it answers"
    for seed, _ in runs.of("Dask scheduler of a daemon killed", promise, short=1, full=10):
        home = tmp_path / str(seed)
        home.mkdir()
        with (
            cluster(home, workers=1) as dask,
            running(home, HOTBAND_COMPUTE=f"dask://{dask.place}", **DAEMON) as daemon,
        ):
            daemon.event("compute.remote")
            assert daemon.get("/status")[1]["compute"] == {"name": f"dask://{dask.place}", "fault": None}
            daemon.event("hydrator.loaded")
            daemon.event("evaluator.published")
            dask.kill_scheduler()
            killed = time.monotonic()
            told = daemon.event("compute.fallback")
            published = len(daemon.events("evaluator.published"))
            assert told["where"] == "process"
            daemon.event("evaluator.published", published + 2)
            runs.recovered(time.monotonic() - killed)
            state = daemon.get("/status")[1]["compute"]
            assert state["name"] == "process"
            assert dask.place in state["fault"]
            address = daemon.event("daemon.started")["http"]
            assert "hotband_compute_fallback 1.0" in httpx.get(f"{address}/metrics").text
            dask.start_scheduler()
            dask.start_worker()
            daemon.event("compute.remote", 2)
            until(lambda: daemon.get("/status")[1]["compute"]["fault"] is None, "its state")
            assert not daemon.events("loop.failed")
            assert not daemon.events("loop.retry")
            assert daemon.end(signal.SIGTERM) < PATIENCE_SEC
            assert daemon.process.returncode == 0
