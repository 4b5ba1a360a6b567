"""The promises of the Compute port: inline, in a pool of processes, on a Dask of one's own and on one that others run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import numpy as np
import pytest
import pytest_asyncio

from hotbandd.adapters.compute import InlineCompute, ProcessCompute
from hotbandd.adapters.dask_compute import DaskCompute
from hotbandd.errors import CandleInputError, ComputeError, CorruptPayloadError
from hotbandd.ports import Compute
from tests.adapters.computing import add, die, die_once, environment, fail, touch, wait_for
from tests.dask_cluster import cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["inline", "process", "dask:local", "dask://"])
async def compute(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Compute]:
    kind = request.param
    if kind == "dask://":
        with cluster(tmp_path_factory.mktemp("dask"), workers=1, nanny=True) as running:
            made = DaskCompute(running.place)
            yield made
            await made.aclose()
        return
    made = {
        "inline": InlineCompute,
        "process": lambda: ProcessCompute(1),
        "dask:local": lambda: DaskCompute("local", workers=1),
    }[kind]()
    yield made
    await made.aclose()


def worked_elsewhere(compute: Compute) -> bool:
    return not isinstance(compute, InlineCompute)


async def test_a_function_runs_with_arrays(compute):
    assert (await compute.run(add, np.arange(3), right=1)).tolist() == [1, 2, 3]


async def test_arrays_come_back_as_they_were_and_may_be_changed(compute):
    found = await compute.run(add, np.array([[0.1, np.nan], [-0.0, 1e-310]]), 0.0)
    assert found.tobytes() == (np.array([[0.1, np.nan], [-0.0, 1e-310]]) + 0.0).tobytes()
    found += 1


@pytest.mark.parametrize(("kind", "error"), [("row", CandleInputError), ("key", CorruptPayloadError)])
async def test_an_error_of_ours_keeps_its_type_and_sentence(compute, kind, error):
    with pytest.raises(error) as caught:
        await compute.run(fail, kind)
    assert "row 3" in str(caught.value) or "some:key" in str(caught.value)


async def test_a_shared_value_comes_before_the_arguments_of_many_calls(compute):
    found = []
    async with compute.share(np.arange(200_000)) as shared:

        async def one(number: int) -> None:
            found.append((number, int((await shared.run(add, number))[0])))

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(one, number)
    assert sorted(found) == [(number, number) for number in range(5)]


async def test_it_tells_how_many_calls_run_side_by_side_and_where(compute):
    await compute.run(add, 1, 2)
    assert compute.width == 1
    assert compute.where.name.partition("//")[0] in {"inline", "process", "dask:local", "dask:"}
    assert compute.where.fault is None


async def test_workers_use_one_thread_for_linear_algebra(compute):
    if worked_elsewhere(compute):
        assert await compute.run(environment, "OMP_NUM_THREADS") == "1"


async def test_a_killed_worker_costs_no_task(compute, tmp_path):
    if worked_elsewhere(compute):
        assert await compute.run(die_once, str(tmp_path / "died")) == "survived"
        assert await compute.run(add, 1, 2) == 3


async def test_a_task_that_kills_every_worker_is_an_error_and_the_workers_are_back(compute):
    if worked_elsewhere(compute) and compute.where.name != "dask:local":  # as dask://, and it takes seconds
        with pytest.raises(ComputeError, match="die"):
            await compute.run(die)
        assert await compute.run(add, 1, 2) == 3


async def test_a_cancelled_call_leaves_the_workers_to_others(compute, tmp_path):
    if not worked_elsewhere(compute):
        return
    await compute.run(add, 1, 2)
    async with anyio.create_task_group() as group:
        group.start_soon(compute.run, wait_for, 0.5)
        await anyio.sleep(0.1)  # it is at work, or soon will be
        group.start_soon(compute.run, touch, str(tmp_path / "cancelled"))
        await anyio.sleep(0.1)
        group.cancel_scope.cancel()
    assert await compute.run(add, 1, 2) == 3
    if isinstance(compute, DaskCompute):
        assert not (tmp_path / "cancelled").exists()
