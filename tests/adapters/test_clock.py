from __future__ import annotations

import time

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.adapters.clock import FASTEST, SLOWEST, SteadyClock, VirtualClock, WallClock

HOUR_MS = 3_600_000


async def test_a_steady_clock_runs_at_its_speed_from_its_anchor():
    clock = SteadyClock(speed=1000, anchor_virtual=5_000_000)
    began = time.monotonic()
    await clock.sleep_until(5_000_000 + 50_000)
    assert 0.05 <= time.monotonic() - began < 1
    assert clock.now() >= 5_050_000


async def test_a_jump_of_the_wall_clock_does_not_reach_a_steady_clock(monkeypatch):
    clock = SteadyClock(anchor_virtual=5_000_000)
    monkeypatch.setattr(time, "time_ns", lambda: HOUR_MS * 10**9)
    assert clock.now() - 5_000_000 < 1000


class World:
    """A wall clock that can be set, and a clock that cannot."""

    def __init__(self) -> None:
        self.elapsed = 7_000_000_000
        self.offset = 1_500_000_000 * 10**9

    def wall(self) -> int:
        return self.elapsed + self.offset

    def clock(self) -> WallClock:
        return WallClock(self.wall, lambda: self.elapsed)

    def pass_by(self, seconds: float) -> None:
        self.elapsed += int(seconds * 1e9)

    def set_by(self, seconds: float) -> None:
        self.offset += int(seconds * 1e9)

    @property
    def wall_ms(self) -> int:
        return self.wall() // 1_000_000


def test_the_wall_clock_is_shown_as_it_is_while_nobody_sets_it():
    world = World()
    clock = world.clock()
    for seconds in (0, 0.001, 5, 3600, 90 * 86400):
        world.pass_by(seconds)
        assert clock.now() == world.wall_ms
    assert clock.behind_sec == 0


@pytest.mark.parametrize(("set_by", "pace", "met_after"), [(3600, FASTEST, 1200), (-3600, SLOWEST, 3 * 3600)])
def test_a_wall_clock_that_was_set_is_met_again_without_a_jump(set_by, pace, met_after):
    world = World()
    clock = world.clock()
    before = clock.now()
    world.set_by(set_by)
    assert clock.now() == before
    assert clock.behind_sec == set_by
    world.pass_by(60)
    assert clock.now() - before == pytest.approx(60_000 * pace, abs=1)
    world.pass_by(met_after - 61)
    assert clock.now() != world.wall_ms
    world.pass_by(2)
    assert clock.now() == world.wall_ms
    assert clock.behind_sec == 0


def test_a_suspended_machine_finds_the_right_time_at_once():
    world = World()
    clock = world.clock()
    world.pass_by(8 * 3600)  # which timers do not see, but the clock that counts on does
    assert clock.now() == world.wall_ms


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.floats(-3600, 3600)), max_size=30),
    st.sampled_from([60_000, 900_000]),
)
def test_whatever_is_done_to_the_wall_clock_no_moment_comes_twice_or_is_passed_over(happenings, interval):
    world = World()
    clock = world.clock()
    shown = clock.now()
    for seconds, jump in happenings:
        world.set_by(jump)
        for _ in range(4):
            world.pass_by(seconds / 4)
            now = clock.now()
            assert SLOWEST * seconds / 4 - 0.002 <= (now - shown) / 1000 <= FASTEST * seconds / 4 + 0.002
            shown = now
    world.pass_by(30 * 7200 * 3 + interval)
    assert clock.now() == world.wall_ms


async def test_who_sleeps_by_the_wall_clock_wakes_soon_after_a_machine_does(monkeypatch):
    world = World()
    clock = world.clock()
    monkeypatch.setattr("hotbandd.adapters.clock.LOOK_SEC", 0.02)

    async def resume() -> None:
        await anyio.sleep(0.05)
        world.pass_by(3600)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(resume)
            await clock.sleep_until(world.wall_ms + HOUR_MS)


async def test_sleeping_until_the_past_returns_at_once():
    clock = WallClock()
    with anyio.fail_after(0.5):
        await clock.sleep_until(clock.now() - HOUR_MS)


async def test_the_real_clocks_agree_and_a_sleep_takes_its_time():
    clock = WallClock()
    began = clock.now()
    assert abs(began - time.time() * 1000) < 1000
    await clock.sleep_until(began + 50)
    assert 50 <= clock.now() - began < 5000
    assert abs(clock.behind_sec) < 0.1


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


async def test_a_virtual_clock_forgets_a_sleeper_that_was_cancelled():
    clock = VirtualClock(0)
    seen = []

    async def one() -> None:
        async with clock.member():
            with anyio.move_on_after(0.01):
                await clock.sleep_until(99)
            await clock.sleep_until(20)
            seen.append(clock.now())
            await clock.sleep_until(98)

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        async with clock.member():
            await anyio.sleep(0.05)
        await clock.run(50)
        group.cancel_scope.cancel()
    assert seen == [20]
