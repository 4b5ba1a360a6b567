"""Where loops compute: on remote workers while those answer, here else, and nothing fails for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hotbandd.adapters.compute import InlineCompute
from hotbandd.adapters.metrics import PrometheusTelemetry, telemetry
from hotbandd.errors import CandleInputError, ComputeError, ComputeUnreachableError, ComputeVersionsError
from hotbandd.ports import Where
from hotbandd.services import fallback
from hotbandd.services.fallback import Fallback
from hotbandd.services.health import Health
from tests.valkey import eventually


class Remote(InlineCompute):
    """Workers elsewhere: away, hung or well, as a test has it; what they return tells that it comes from them."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.hangs = False
        self.lost: str | None = None
        self.width = 1

    @property
    def where(self) -> Where:
        return Where("dask://there", self.lost)

    async def connect(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.lost = None

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.hangs:
            await anyio.sleep_forever()
        if self.fault is not None:
            raise self.fault
        return "there", function(*args, **kwargs)


class Stage:
    """A fallback that is watched, with its remote workers and what is reported."""

    def __init__(self) -> None:
        self.remote = Remote()
        self.telemetry: PrometheusTelemetry = telemetry(lambda: 0)
        self.compute = Fallback(self.remote, InlineCompute(), self.telemetry, patience_sec=0.05)
        self.health = Health()

    @property
    def falls_back(self) -> bool:
        return b"hotband_compute_fallback 1.0" in self.telemetry.exposition()

    async def back(self) -> bool:
        return self.compute.where == Where("dask://there", None) and not self.falls_back

    async def away(self) -> bool:
        return self.compute.where.name == "inline" and self.falls_back


@asynccontextmanager
async def watched() -> AsyncIterator[Stage]:
    stage = Stage()
    async with anyio.create_task_group() as group:
        group.start_soon(stage.compute.watch, stage.health)
        yield stage
        group.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "LOOK_SEC", 0.01)
    monkeypatch.setattr(fallback, "AVOID_SEC", 0.2)


async def test_it_computes_here_until_it_is_connected_and_then_there() -> None:
    stage = Stage()
    assert await stage.compute.run(len, "abc") == 3
    assert stage.compute.where == Where("inline", None)
    async with watched() as stage:
        await eventually(stage.back, 5)
        assert await stage.compute.run(len, "abc") == ("there", 3)
        assert stage.health.loops["compute"].heard_by > 0


@pytest.mark.parametrize("error", [ComputeUnreachableError("nobody answers"), ComputeVersionsError("numpy 1 and 2")])
async def test_a_call_that_cannot_run_there_runs_here_and_the_next_ones_go_back(error: Exception) -> None:
    async with watched() as stage:
        await eventually(stage.back, 5)
        stage.remote.fault = error
        assert await stage.compute.run(len, "abc") == 3
        assert stage.compute.where == Where("inline", str(error))
        assert stage.falls_back
        await anyio.sleep(0.05)
        assert await stage.away()
        stage.remote.fault = None
        await eventually(stage.back, 5)
        assert await stage.compute.run(len, "abc") == ("there", 3)


async def test_a_connection_that_breaks_while_nobody_calls_is_told() -> None:
    async with watched() as stage:
        await eventually(stage.back, 5)
        stage.remote.lost, stage.remote.fault = "it was lost", ComputeUnreachableError("nobody answers")
        await eventually(stage.away, 5)
        assert stage.compute.where.fault == "nobody answers"


async def test_a_worker_that_hangs_costs_a_call_some_patience_and_is_avoided_for_a_while() -> None:
    async with watched() as stage:
        await eventually(stage.back, 5)
        stage.remote.hangs = True
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(stage.compute.run, len, "abc")
        assert "did not answer a call" in (stage.compute.where.fault or "")
        with anyio.fail_after(0.1):
            assert await stage.compute.run(len, "abc") == 3
        stage.remote.hangs = False
        await eventually(stage.back, 5)


@pytest.mark.parametrize("error", [CandleInputError("row 3"), ComputeError("died twice")])
async def test_what_a_function_raises_or_does_to_its_workers_is_not_done_again_here(error: Exception) -> None:
    def fail(_: str) -> None:
        raise error

    async with watched() as stage:
        await eventually(stage.back, 5)
        with pytest.raises(type(error)):
            await stage.compute.run(fail, "abc")
        assert await stage.back()


async def test_a_shared_value_is_at_hand_on_both_sides() -> None:
    async with watched() as stage:
        await eventually(stage.back, 5)
        async with stage.compute.share("abc") as shared:
            assert await shared.run(str.count, "b") == ("there", 1)
            stage.remote.fault = ComputeUnreachableError("nobody answers")
            assert await shared.run(str.count, "b") == 1
