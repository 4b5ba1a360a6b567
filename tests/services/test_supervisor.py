from __future__ import annotations

import anyio
import pytest

from hotbandd.errors import RestartIntensityError
from hotbandd.services.health import GRACE_SEC, Health
from hotbandd.services.supervisor import Intensity, supervise
from tests.services.recording import RecordingTelemetry

QUICK = Intensity(restarts=3, within_sec=60, first_pause_sec=0.001, last_pause_sec=0.002)


async def test_a_loop_that_fails_is_started_again_and_its_failures_counted():
    runs = []

    async def loop() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise ValueError("once more")

    telemetry = RecordingTelemetry()
    await supervise("hydrator", loop, telemetry, Health(), QUICK)
    assert len(runs) == 3
    assert telemetry.calls("loop_failed") == [("hydrator", "ValueError")] * 2


async def test_a_loop_that_fails_too_often_ends_the_process_with_a_sentence():
    runs = []

    async def loop() -> None:
        runs.append(1)
        raise ValueError("broken for good")

    with pytest.raises(RestartIntensityError, match=r"evaluator failed 4 times.*broken for good"):
        await supervise("evaluator", loop, RecordingTelemetry(), Health(), QUICK)
    assert len(runs) == 4


async def test_failures_long_ago_do_not_count():
    moments = iter([0.0, 100.0, 200.0, 300.0, 400.0])
    runs = []

    async def loop() -> None:
        runs.append(1)
        if len(runs) < 6:
            raise ValueError("now and then")

    await supervise("allocator", loop, RecordingTelemetry(), Health(), QUICK, monotonic=lambda: next(moments))
    assert len(runs) == 6


async def test_cancellation_passes_through_a_supervised_loop():
    started = anyio.Event()

    async def loop() -> None:
        started.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(supervise, "hydrator", loop, RecordingTelemetry(), Health(), QUICK)
        await started.wait()
        group.cancel_scope.cancel()


def test_a_loop_is_silent_once_it_breaks_its_word():
    now = [0.0]
    health = Health(lambda: now[0])
    health.waiting("hydrator", 10)
    health.working("evaluator", 60)
    assert health.silent() == []
    now[0] = 10 + GRACE_SEC + 0.1
    assert health.silent() == ["hydrator"]
    health.waiting("hydrator", 10)
    assert health.silent() == []
