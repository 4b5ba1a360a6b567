"""Valkey killed, stopped, refusing writes, loading, emptied, set back, slow or gone without a word: the daemon outlives it and heals."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import pytest
import pytest_asyncio

from tests.faults.proxy import Weather
from tests.faults.runs import Runs, on_this_machine
from tests.faults.stand import Stand, stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOGETHER = 4  # daemons at once in the full count: most of the time all of them wait
RECOVERY_SEC = 2.0
PATIENCE_SEC = 20.0  # in the suite, on any machine
PROMISE = "republished ≤ 2 s after it heals; nothing false, torn or doubled; alive, unready meanwhile"

Lasting = Callable[[], Awaitable[None]]
Illness = Callable[[Stand, Random, Lasting], Awaitable[None]]
in_thread = anyio.to_thread.run_sync


async def killed(one: Stand, random: Random, last: Lasting) -> None:
    one.server.kill()
    await last()
    one.server.start()
    await in_thread(one.server.serving)


async def stopped(one: Stand, random: Random, last: Lasting) -> None:
    one.server.stop()
    await last()
    one.server.go_on()


async def readonly(one: Stand, random: Random, last: Lasting) -> None:
    one.server.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    await last()
    one.server.client.execute_command("REPLICAOF", "NO", "ONE")


async def out_of_memory(one: Stand, random: Random, last: Lasting) -> None:
    one.server.client.config_set("maxmemory", 1)
    await last()
    one.server.client.config_set("maxmemory", 0)


async def unsaved(one: Stand, random: Random, last: Lasting) -> None:
    await in_thread(one.server.unsaved)
    await last()
    await in_thread(one.server.saved)


async def disk_full(one: Stand, random: Random, last: Lasting) -> None:
    one.server.no_room()
    await last()
    one.server.room()


async def loading(one: Stand, random: Random, last: Lasting) -> None:
    one.server.kill()
    one.server.start(**{"key-load-delay": str(random.randint(2, 15))})
    await last()
    await in_thread(one.server.serving)
    one.server.client.config_set("key-load-delay", 0)


async def emptied(one: Stand, random: Random, last: Lasting) -> None:
    one.server.kill()
    await last()
    one.server.wipe()
    one.server.start()
    await in_thread(one.server.serving)


async def set_back(one: Stand, random: Random, last: Lasting) -> None:
    await in_thread(one.server.copy)
    await anyio.sleep(random.uniform(1.5, 4.0))  # some more is published, which is lost then
    one.server.kill()
    await last()
    one.server.older()
    one.server.start()
    await in_thread(one.server.serving)


async def slow(one: Stand, random: Random, last: Lasting) -> None:
    one.proxy.weather = Weather(delay=lambda: random.uniform(0.05, 3.0))
    await last()
    one.proxy.weather = Weather()


async def half_open(one: Stand, random: Random, last: Lasting) -> None:
    one.proxy.weather = Weather(black_hole=True)
    await last()
    one.proxy.weather = Weather()


async def broken(one: Stand, random: Random, last: Lasting) -> None:
    """Connections that are cut at any byte of a reply, or reset, or lose one."""

    def cut() -> int | None:
        return random.randint(0, 200) if random.random() < 0.7 else None

    one.proxy.weather = Weather(cut_after=cut, swallow=lambda: random.random() < 0.1, reset=random.random() < 0.5)
    one.proxy.drop(reset=random.random() < 0.5)
    await last()
    one.proxy.weather = Weather()


ILLNESSES: dict[str, Illness] = {
    "killed and started again": killed,
    "stopped and resumed": stopped,
    "made a replica (READONLY)": readonly,
    "out of memory (OOM)": out_of_memory,
    "unable to save (MISCONF)": unsaved,
    "its disk full (MISCONF)": disk_full,
    "loading (LOADING)": loading,
    "started again empty": emptied,
    "started again with older data": set_back,
    "slow": slow,
    "half-open": half_open,
    "behind broken connections": broken,
}
GENTLE = {"slow", "behind broken connections", "loading (LOADING)"}  # may pass unnoticed: calls are tried again
LOSING = {"started again empty", "started again with older data"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stands(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[Stand]]:
    count = TOGETHER if request.config.getoption("--full") else 1
    root: Path = tmp_path_factory.mktemp("stands")
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(stand(root / str(number), tcp=bool(number % 2))) for number in range(count)
        ]


@pytest.mark.parametrize("name", ILLNESSES)
async def test_the_daemon_outlives_valkey_and_publishes_again(name: str, runs: Runs, stands: list[Stand]) -> None:
    longest: list[float] = []

    async def run(one: Stand, random: Random, *, noticed: bool) -> None:
        before = [await one.steady()]

        async def last() -> None:
            began = time.monotonic()
            if noticed:
                await one.red()
                longest.append(time.monotonic() - began)
            else:
                await anyio.sleep(random.uniform(0.02, 1.0))

        await ILLNESSES[name](one, random, last)
        healed = time.monotonic()
        took = await one.recovered(before[0], healed)
        runs.recovered(took)
        assert took <= (on_this_machine(RECOVERY_SEC) if runs.full else PATIENCE_SEC)
        if name in LOSING:
            await one.release()

    count = f", {len(stands)} at once" if len(stands) > 1 else ""
    for seed, random in runs.of(f"Valkey {name}{count}", PROMISE, short=1, full=100 // TOGETHER):
        noticed = name not in GENTLE and seed % 2 == 0
        async with anyio.create_task_group() as group:
            for one in stands:
                group.start_soon(partial(run, one, Random(random.random()), noticed=noticed))
    if longest:
        runs.note(f"unready within {max(longest):.1f} s")
    for one in stands:
        assert one.failures() == []
