"""Dask where it is not as it should be: not installed, not there, without workers, with other versions."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import anyio
import numpy as np
import pytest

from hotbandd.adapters import dask_compute
from hotbandd.adapters.dask_compute import DaskCompute, link
from hotbandd.core.candles import Floats
from hotbandd.errors import ComputeError, ComputeUnreachableError, ComputeVersionsError, SettingsError
from hotbandd.ports import Shared
from tests.adapters.computing import add
from tests.dask_cluster import Cluster, cluster
from tests.valkey import eventually

OURS = version("hotband")


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CONNECT_SEC", 0.5)


@pytest.fixture
def another_hotband(tmp_path: Path) -> Path:
    """Return a folder that makes whoever imports from it take hotband for another version."""
    about = tmp_path / "other" / "hotband-9.9.9.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hotband\nVersion: 9.9.9\n")
    return about.parent


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_compute, "find_spec", lambda name: None if name == "distributed" else importlib.util)
    with pytest.raises(SettingsError, match=r"pip install 'hotband\[dask\]'"):
        DaskCompute("127.0.0.1:8786")


def test_a_daemon_without_dask_imports_nothing_of_it() -> None:
    check = "import sys, hotbandd.daemon; assert not {'dask', 'distributed'} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_where_nobody_answers_all_who_wait_are_told_at_once(tmp_path: Path) -> None:
    compute, began = DaskCompute(Cluster(tmp_path).place), time.monotonic()
    for _ in range(2):
        with pytest.raises(
            ComputeUnreachableError, match=r"No Dask scheduler answers at 127.0.0.1:\d+ .* HOTBAND_COMPUTE=process"
        ):
            await compute.run(add, 1, 2)
    assert time.monotonic() - began < 15
    await compute.aclose()


async def test_workers_are_asked_for_and_refused_where_their_versions_differ(
    tmp_path: Path, another_hotband: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = rf"worker at tcp://127.0.0.1:\d+ runs with hotband 9\.9\.9, this process with hotband {OURS};"
    with cluster(tmp_path, workers=0) as running:
        compute = DaskCompute(running.place)
        with pytest.raises(ComputeUnreachableError, match="has no worker; start one with: dask worker"):
            await compute.run(add, 1, 2)
        monkeypatch.setattr(link, "CONNECT_SEC", 30.0)
        running.start_worker(another_hotband)
        with pytest.raises(ComputeVersionsError, match=refusal):
            await compute.run(add, 1, 2)
        await compute.aclose()


async def until_refused(shared: Shared[Floats]) -> None:
    while True:
        assert (await shared.run(add, 1)).tolist() == [2.0]


async def test_a_worker_that_joins_later_with_other_versions_is_refused_before_it_reads_anything(
    tmp_path: Path, another_hotband: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CONNECT_SEC", 30.0)
    module = ModuleType("of_this_machine_alone")
    exec("def rule(x):\n    return x\n", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with cluster(tmp_path, workers=1) as running:
        compute = DaskCompute(running.place)
        with pytest.raises(ComputeError, match=r"of_this_machine_alone.*install the same packages there"):
            await compute.run(module.rule, 1)
        async with compute.share(np.ones(1)) as shared:
            assert (await shared.run(add, 1)).tolist() == [2.0]
            running.start_worker(another_hotband)
            running.kill_worker(0)
            with (
                pytest.raises(ComputeVersionsError, match=rf"hotband 9\.9\.9, this process with hotband {OURS};"),
                anyio.fail_after(30),
            ):
                await until_refused(shared)
        await compute.aclose()


async def test_whoever_is_cancelled_while_results_are_fetched_takes_nobody_along(tmp_path: Path) -> None:
    fetching, fetch = anyio.Event(), anyio.Event()
    with cluster(tmp_path, workers=1) as running:
        compute = DaskCompute(running.place)
        await compute.connect()
        client = compute._link._client  # type: ignore[union-attr]
        gather = client._gather_remote

        async def held(*args: object) -> object:
            fetching.set()
            await fetch.wait()
            return await gather(*args)

        client._gather_remote = held
        found: list[int] = []
        scopes = [anyio.CancelScope() for _ in range(4)]

        async def one(number: int) -> None:
            with scopes[number]:
                found.append(await compute.run(add, number, 10))

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(one, number)
            await fetching.wait()

            async def all_done() -> bool:
                states = list(client.futures.values())
                return len(states) == 4 and all(state.status == "finished" for state in states)

            await eventually(all_done)
            await anyio.wait_all_tasks_blocked()
            scopes[0].cancel()
            scopes[2].cancel()
            await anyio.wait_all_tasks_blocked()
            fetch.set()
        assert not group.cancel_scope.cancel_called
        await compute.aclose()
    assert sorted(found) == [11, 13]
