"""How loops run: on their schedule, only while leading, and through outages of the outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from hotbandd.errors import (
    CorruptPayloadError,
    FencedError,
    RestartIntensityError,
    SourceUnreachableError,
    StoreUnreachableError,
)
from hotbandd.ports import Lease
from hotbandd.services import loop as loops
from hotbandd.services.health import Health
from hotbandd.services.leader import Leadership
from hotbandd.services.loop import Due, LoopRunner
from hotbandd.services.supervisor import Intensity, supervise
from tests.services.recording import RecordingTelemetry
from tests.services.scenes import HandClock

EVERY = 1000
LEASE = Lease("test", 1)
NO_RESTART = Intensity(restarts=0, first_pause_sec=0.001)


class EndError(Exception):
    """What a script raises to end its loop."""


class ScriptedLoop:
    """A loop with a slot each second whose steps do what a script says, one entry each; then it ends."""

    name = "scripted"
    rank = 0
    deadline_sec = 5.0

    def __init__(self, *script: Callable[[], Awaitable[None]]) -> None:
        self.script = list(script)
        self.steps: list[int] = []

    def first_after(self, now_ms: int) -> int:
        return now_ms - now_ms % EVERY - 1

    def next_due(self, now_ms: int) -> Due:
        moment = (now_ms // EVERY + 1) * EVERY
        return Due(moment, moment)

    async def step(self, due: Due) -> None:
        self.steps.append(due.moment)
        if not self.script:
            raise EndError
        await self.script.pop(0)()


async def nothing() -> None:
    await anyio.lowlevel.checkpoint()


def raising(error: Exception) -> Callable[[], Awaitable[None]]:
    async def step() -> None:
        raise error

    return step


class Stage:
    """A runner, and everything that it reports to."""

    def __init__(self, now: int = 10_400, *, leading: bool = True) -> None:
        self.clock, self.telemetry = HandClock(now), RecordingTelemetry()
        self.health, self.leadership = Health(), Leadership()
        if leading:
            self.leadership.gain(LEASE)
        self.runner = LoopRunner(self.clock, self.telemetry, self.health, self.leadership)

    async def run(self, loop: ScriptedLoop) -> list[int]:
        """Run a loop to the end of its script, and return the moments that it stepped."""
        with anyio.fail_after(5), pytest.raises(EndError):
            await self.runner.run(loop)
        return loop.steps

    def lasting(self, ms: int) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            self.clock.moment += ms

        return step

    def losing(self, error: Exception | None = None) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            self.leadership.lose()
            if error:
                raise error

        return step


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(loops, "RETRY_FIRST_SEC", 0.001)
    monkeypatch.setattr(loops, "RETRY_LAST_SEC", 0.002)


async def test_steps_begin_with_the_latest_past_one_and_follow_the_schedule():
    stage = Stage(10_400)
    assert await stage.run(ScriptedLoop(nothing, nothing)) == [10_000, 11_000, 12_000]


async def test_a_step_that_takes_too_long_costs_those_that_it_covers_and_shifts_none():
    stage = Stage(10_000)
    script = (nothing, stage.lasting(2_500), nothing)
    assert await stage.run(ScriptedLoop(*script)) == [10_000, 11_000, 14_000, 15_000]


async def test_who_wakes_hours_late_takes_the_newest_step_and_none_twice():
    stage = Stage(10_000)

    class Oversleeping(HandClock):
        async def sleep_until(self, moment_ms: int, *, rank: int = 0) -> None:
            await super().sleep_until(moment_ms, rank=rank)
            if moment_ms == 12_000:
                self.moment = 3_612_345

    stage.clock = Oversleeping(10_000)
    stage.runner = LoopRunner(stage.clock, stage.telemetry, stage.health, stage.leadership)
    assert await stage.run(ScriptedLoop(*[nothing] * 4)) == [10_000, 11_000, 3_612_000, 3_613_000, 3_614_000]


async def test_a_good_step_is_reported():
    stage = Stage(10_000)
    await stage.run(ScriptedLoop(nothing))
    assert [call[:2] for call in stage.telemetry.calls("loop_succeeded")] == [("scripted", 10_000)]
    assert stage.health.loops["scripted"].last_success == 10_000


@pytest.mark.parametrize(
    "error", [StoreUnreachableError("away"), SourceUnreachableError("away"), CorruptPayloadError("key", "garbage")]
)
async def test_while_the_outside_is_away_or_corrupt_a_step_is_tried_again_and_no_restart_counted(error):
    stage = Stage(10_000)
    loop = ScriptedLoop(raising(error), raising(error), nothing)
    with pytest.raises(RestartIntensityError, match="EndError"):
        await supervise("scripted", lambda: stage.runner.run(loop), stage.telemetry, stage.health, NO_RESTART)
    assert loop.steps == [10_000, 10_000, 10_000, 11_000]
    failures = stage.telemetry.calls("loop_failed")
    assert failures == [("scripted", type(error).__name__)] * 2 + [("scripted", "EndError")]


async def test_an_outage_shows_as_a_fault_until_a_step_succeeds():
    stage = Stage(10_000)
    faults = []

    async def look() -> None:
        faults.append(stage.health.loops["scripted"].fault)

    await stage.run(ScriptedLoop(raising(StoreUnreachableError("away")), look, look))
    assert faults == ["away", None]


async def test_a_step_is_given_up_once_the_next_one_is_due():
    stage = Stage(10_000)

    async def away() -> None:
        stage.clock.moment += 600
        raise StoreUnreachableError("away")

    assert await stage.run(ScriptedLoop(away, away, nothing)) == [10_000, 10_000, 12_000, 13_000]


async def test_a_loop_stands_by_until_its_process_leads_and_begins_with_the_latest_slot():
    stage = Stage(10_400, leading=False)
    loop = ScriptedLoop(nothing)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.run, loop)
        await anyio.wait_all_tasks_blocked()
        assert loop.steps == []
        stage.clock.moment = 95_300
        stage.leadership.gain(LEASE)
    assert loop.steps == [95_000, 96_000]
    assert stage.telemetry.calls("loop_failed") == []


async def test_standing_by_is_no_silence(monkeypatch):
    monkeypatch.setattr(loops, "STANDBY_SEC", 0.005)
    stage = Stage(leading=False)
    heard = []
    monkeypatch.setattr(stage.health, "waiting", lambda name, seconds: heard.append((name, seconds)))
    async with anyio.create_task_group() as group:
        group.start_soon(stage.runner.run, ScriptedLoop())
        with anyio.fail_after(5):
            while len(heard) < 3:
                await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert heard[:3] == [("scripted", 0.005)] * 3


@pytest.mark.parametrize("error", [FencedError("another leads"), StoreUnreachableError("away"), None])
async def test_a_loop_whose_lease_is_lost_stands_by_and_resumes_with_the_latest_slot(error, monkeypatch):
    stage = Stage(10_000)
    held, standing = stage.leadership.held, anyio.Event()

    async def stand_by() -> Lease:
        standing.set()
        return await held()

    monkeypatch.setattr(stage.leadership, "held", stand_by)
    loop = ScriptedLoop(nothing, stage.losing(error), nothing)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.run, loop)
        await standing.wait()
        assert loop.steps == [10_000, 11_000]
        stage.clock.moment = 60_100
        stage.leadership.gain(Lease("test", 2))
    assert loop.steps == [10_000, 11_000, 60_000, 61_000]
    assert stage.telemetry.calls("loop_failed") == ([("scripted", type(error).__name__)] if error else [])


async def test_a_lease_lost_in_its_sleep_costs_a_loop_no_failure(monkeypatch):
    stage = Stage(10_000)
    loop = ScriptedLoop(nothing)
    sleep = stage.clock.sleep_until

    async def bad_dream(moment: int, *, rank: int = 0) -> None:
        await sleep(moment, rank=rank)
        if moment == 11_000:
            stage.leadership.lose()

    monkeypatch.setattr(stage.clock, "sleep_until", bad_dream)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.run, loop)
        await anyio.wait_all_tasks_blocked()
        assert loop.steps == [10_000]
        stage.clock.moment = 12_500
        stage.leadership.gain(Lease("test", 2))
    assert loop.steps == [10_000, 12_000]
    assert stage.telemetry.calls("loop_failed") == []


async def test_a_step_that_does_not_end_in_its_time_is_a_failure():
    stage = Stage(10_000)
    loop = ScriptedLoop(anyio.sleep_forever)
    loop.deadline_sec = 0.01
    with pytest.raises(TimeoutError):
        await stage.runner.run(loop)


async def test_any_other_error_ends_the_run():
    with pytest.raises(ZeroDivisionError):
        await Stage().runner.run(ScriptedLoop(raising(ZeroDivisionError())))


async def test_a_new_lease_cuts_a_sleep_short_and_begins_anew(monkeypatch):
    stage = Stage(10_000)
    loop = ScriptedLoop(nothing, nothing)
    sleep, asleep = stage.clock.sleep_until, anyio.Event()

    async def long_sleep(moment: int, *, rank: int = 0) -> None:
        if moment == 11_000 and not asleep.is_set():
            asleep.set()
            await anyio.sleep_forever()
        await sleep(moment, rank=rank)

    monkeypatch.setattr(stage.clock, "sleep_until", long_sleep)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.run, loop)
        await asleep.wait()
        stage.leadership.lose()
        await anyio.wait_all_tasks_blocked()
        assert loop.steps == [10_000]
        stage.leadership.gain(Lease("test", 2))
    assert loop.steps == [10_000, 10_000, 11_000]


async def test_news_of_the_store_cut_a_pause_short(monkeypatch):
    monkeypatch.setattr(loops, "RETRY_FIRST_SEC", 3600.0)
    stage = Stage(10_000)
    loop = ScriptedLoop(raising(StoreUnreachableError("away")), nothing)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.run, loop)
        await anyio.wait_all_tasks_blocked()
        assert loop.steps == [10_000]
        stage.leadership.tell()
    assert loop.steps == [10_000, 10_000, 11_000]


async def test_a_new_lease_cuts_a_step_short_that_was_begun_under_another():
    stage = Stage(10_000)
    loop = ScriptedLoop(nothing, anyio.sleep_forever, nothing)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.run, loop)
        await anyio.wait_all_tasks_blocked()
        assert loop.steps == [10_000, 11_000]
        stage.leadership.lose()
        stage.leadership.gain(Lease("test", 2))
    assert loop.steps == [10_000, 11_000, 11_000, 12_000]
    assert stage.telemetry.calls("loop_failed") == []
