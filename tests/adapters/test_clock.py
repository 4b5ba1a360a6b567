from __future__ import annotations

import time

import anyio
import pytest

from hotbandd.adapters.clock import SteadyClock, VirtualClock

HOUR_MS = 3_600_000


async def test_a_steady_clock_runs_at_its_speed_from_its_anchor():
    clock = SteadyClock(speed=1000, anchor_virtual=5_000_000)
    began = time.monotonic()
    await clock.sleep_until(5_000_000 + 50_000)
    assert 0.05 <= time.monotonic() - began < 1
    assert clock.now() >= 5_050_000


async def test_a_jump_of_the_wall_clock_does_not_reach_a_steady_clock(monkeypatch):
    clock = SteadyClock()
    before = clock.now()
    monkeypatch.setattr(time, "time_ns", lambda: (before + HOUR_MS) * 1_000_000)
    assert clock.now() - before < 1000


async def test_sleeping_until_the_past_returns_at_once():
    clock = SteadyClock()
    with anyio.fail_after(0.5):
        await clock.sleep_until(clock.now() - HOUR_MS)


async def replayed(clock: VirtualClock, until: int) -> list[tuple[int, str]]:
    log: list[tuple[int, str]] = []

    async def sleeper(name: str, every: int, rank: int) -> None:
        async with clock.member():
            while True:
                await clock.sleep_until((clock.now() // every + 1) * every, rank=rank)
                await anyio.lowlevel.checkpoint()
                log.append((clock.now(), name))

    async with anyio.create_task_group() as group:
        group.start_soon(sleeper, "late", 20, 2)
        group.start_soon(sleeper, "early", 30, 1)
        group.start_soon(sleeper, "first", 60, 0)
        await clock.run(until)
        group.cancel_scope.cancel()
    return log


async def test_a_virtual_clock_wakes_one_sleeper_at_a_time_by_moment_and_rank():
    log = await replayed(VirtualClock(0), 60)
    assert log == [(20, "late"), (30, "early"), (40, "late"), (60, "first"), (60, "early"), (60, "late")]


async def test_a_virtual_clock_does_not_wait_in_real_time():
    began = time.monotonic()
    await replayed(VirtualClock(0), 2000)
    assert time.monotonic() - began < 1


async def test_a_paced_virtual_clock_takes_its_time():
    began = time.monotonic()
    await replayed(VirtualClock(0, pace=1), 60)
    assert time.monotonic() - began >= 0.06


async def test_a_virtual_clock_moves_on_when_a_member_leaves():
    clock = VirtualClock(0)
    seen = []

    async def short() -> None:
        async with clock.member():
            await clock.sleep_until(10)

    async def long() -> None:
        async with clock.member():
            for moment in (20, 30):
                await clock.sleep_until(moment)
                seen.append(clock.now())
            await clock.sleep_until(99)

    async with anyio.create_task_group() as group:
        group.start_soon(short)
        group.start_soon(long)
        await clock.run(50)
        group.cancel_scope.cancel()
    assert seen == [20, 30]


@pytest.mark.parametrize("moment", [-5, 0])
async def test_a_virtual_clock_never_goes_back(moment):
    clock = VirtualClock(100)

    async def one() -> None:
        async with clock.member():
            await clock.sleep_until(moment)
            assert clock.now() == 100
            await clock.sleep_until(200)

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        await clock.run(150)
        group.cancel_scope.cancel()
