"""What the daemon tells its service manager, and when it says nothing."""

from __future__ import annotations

import time
from itertools import pairwise

import anyio
import pytest
from structlog.testing import capture_logs

from hotbandd.errors import ClockError
from hotbandd.services import watch
from hotbandd.services.health import GRACE_SEC, LAG_SEC, LAGS, Health
from tests.services.recording import RecordingTelemetry


class Manager:
    """A service manager that remembers what it was told; the first ``deaf`` times it is told of readiness, it does not hear."""

    def __init__(self, watchdog_sec: float | None = 0.03, deaf: int = 0) -> None:
        self.watchdog_sec = watchdog_sec
        self.said: list[str] = []
        self._deaf = deaf

    def ready(self, status: str) -> bool:
        self.said.append(f"ready: {status}")
        self._deaf -= 1
        return self._deaf < 0

    def status(self, text: str) -> None:
        self.said.append(f"status: {text}")

    def alive(self) -> None:
        self.said.append("alive")

    def reloading(self) -> None:
        self.said.append("reloading")

    def stopping(self) -> None:
        self.said.append("stopping")


async def reported(manager: Manager, health: Health, seconds: float = 0.3) -> list[str]:
    with anyio.move_on_after(seconds):
        await watch.report(manager, health, lambda: "well")
    return manager.said


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(watch, "LAG_EVERY_SEC", 0.01)


async def test_ready_is_told_once_the_store_was_asked_and_status_after_it():
    health = Health()
    assert set(await reported(Manager(), health)) == {"alive"}
    health.store_up = False  # asked, and no answer: it serves all the same
    said = await reported(Manager(), health)
    assert said[:4] == ["alive", "ready: well", "alive", "status: well"]
    assert said.count("ready: well") == 1


async def test_ready_is_told_again_until_it_is_heard():
    health = Health()
    health.store_up = True
    said = await reported(Manager(deaf=2), health)
    assert said.count("ready: well") == 3


async def test_it_is_alive_at_least_twice_within_the_watchdogs_time():
    manager, health = Manager(watchdog_sec=0.3), Health()
    health.store_up = True
    moments: list[float] = []
    manager.alive = lambda: moments.append(time.monotonic())
    await reported(manager, health, 1.5)
    gaps = sorted(later - earlier for earlier, later in pairwise(moments))
    assert gaps[len(gaps) // 2] < 0.15


async def test_a_silent_loop_or_a_late_event_loop_is_not_alive():
    now = [0.0]
    health = Health(lambda: now[0])
    health.store_up = True
    health.waiting("hydrator", 10)
    now[0] = 10 + GRACE_SEC + 1
    assert "alive" not in await reported(Manager(), health)
    health.waiting("hydrator", 10)
    assert "alive" in await reported(Manager(), health)
    health.lagged(LAG_SEC)
    assert "alive" not in await reported(Manager(), health)
    health.lagged(0.0)
    assert "alive" in await reported(Manager(), health)


async def test_without_a_watchdog_the_status_is_told_all_the_same():
    health = Health()
    health.store_up = True
    assert "ready: well" in await reported(Manager(watchdog_sec=None), health)


async def test_the_worst_lag_is_shown_until_it_is_a_while_ago():
    health, telemetry = Health(), RecordingTelemetry()

    async def measure() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(watch.gauge_lag, telemetry, health)
            await anyio.sleep(0.02)
            time.sleep(0.1)  # noqa: ASYNC251  holds the event loop up
            await anyio.sleep(0.1)
            group.cancel_scope.cancel()

    await measure()
    assert telemetry.calls("event_loop_lag")[-1][0] > 0.05
    assert health.worst_lag_sec > 0.05 > health.lag_sec
    for _ in range(LAGS):
        health.lagged(0.0)
    assert health.worst_lag_sec == 0.0
    assert "lag" in health.loops


class Off:
    """A clock that is behind the wall clock by what a script says."""

    speed = slowest = 1.0

    def __init__(self, *behind: float) -> None:
        self._script = list(behind)
        self.behind_sec = 0.0

    def now(self) -> int:
        self.behind_sec = self._script.pop(0)
        return 0

    async def sleep_until(self, moment_ms: int, *, rank: int = 0) -> None:
        raise NotImplementedError


async def test_a_clock_that_is_off_is_told_until_it_is_right(monkeypatch):
    monkeypatch.setattr(watch, "CLOCK_SEC", 0.001)
    telemetry, health = RecordingTelemetry(), Health()
    with capture_logs() as logs, pytest.raises(IndexError):
        await watch.gauge_clock(Off(0.0, 3600.0, 1800.0, 0.5, -7000.0), telemetry, health)
    assert [(line["event"], line["behind_sec"]) for line in logs] == [
        ("clock.off", 3600.0),
        ("clock.right", 0.5),
        ("clock.off", -7000.0),
    ]
    assert telemetry.calls("clock_behind") == [(0.0,), (3600.0,), (1800.0,), (0.5,), (-7000.0,)]
    assert "clock" in health.loops


@pytest.mark.parametrize("behind", [watch.CLOCK_AT_MOST_SEC + 1, -watch.CLOCK_AT_MOST_SEC - 1, 1.8e9])
async def test_a_clock_that_was_set_by_hours_ends_the_process(behind):
    with pytest.raises(ClockError, match="start the daemon again"):
        await watch.gauge_clock(Off(behind), RecordingTelemetry(), Health())
