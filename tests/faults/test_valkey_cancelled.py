"""Commands cancelled in mid-flight: no reply goes to another call, and no connection is left behind."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from random import Random

import anyio
from redis.asyncio import Redis

from hotbandd.adapters.store import connections
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.errors import StoreUnreachableError
from tests.faults.runs import Runs
from tests.valkey import eventually

TOGETHER = 50  # calls at once, of which the pool's eight connections serve some and make the others wait
EACH = 1000  # commands of a run
KEY, SET, CHANNEL = "bt:trial:run:{}", "ws:manifold:hist:{}", "ws:gates"


class Caller:
    """Makes calls whose right answer is known, and counts what became of them."""

    def __init__(self, backend: ValkeyBackend, random: Random) -> None:
        self.ended: Counter[str] = Counter()
        self._backend = backend
        self._random = random

    async def some(self) -> None:
        """Make many calls at once, most of them cancelled at any moment of their way."""
        async with anyio.create_task_group() as group:
            for number in range(TOGETHER):
                group.start_soon(self._one, number, self._random.choice([0.0, 1e-4, 5e-4, 2e-3, 1e-2, 1.0]))

    async def _one(self, number: int, seconds: float) -> None:
        call = self._random.choice([self._get, self._range, self._newest])
        with anyio.move_on_after(seconds * self._random.random()) as scope:
            try:
                right = await call(number)
            except StoreUnreachableError:
                self.ended["no place in the pool"] += 1
                return
            self.ended["right" if right else "WRONG"] += 1
        self.ended["cancelled"] += scope.cancelled_caught

    async def _get(self, number: int) -> bool:
        return await self._backend.get(KEY.format(number)) == b"%d" % number

    async def _range(self, number: int) -> bool:
        return await self._backend.range(SET.format(number), 0, 9, 10) == [(b"%d" % number, number % 10)]

    async def _newest(self, number: int) -> bool:
        return await self._backend.newest(SET.format(number), 1) == [(b"%d" % number, number % 10)]

    async def subscribed(self, raw: Redis) -> None:
        """Subscribe and listen, and be cancelled; where a message came, it is the right one."""
        with anyio.move_on_after(0.02 * self._random.random()) as scope:
            async with self._backend.subscribe([CHANNEL]) as messages:
                await raw.publish(CHANNEL, b"one")
                right = await anext(messages) == (CHANNEL, b"one")
                self.ended["right" if right else "WRONG"] += 1
        self.ended["cancelled"] += scope.cancelled_caught


async def test_cancelled_commands_leave_no_wrong_reply_and_no_connection(
    runs: Runs, raw: Redis, valkey_url: str
) -> None:
    ended: Counter[str] = Counter()
    for number in range(TOGETHER):
        await raw.set(KEY.format(number), number)
        await raw.zadd(SET.format(number), {str(number): number % 10})
    backend = ValkeyBackend(valkey_url)
    began, others = time.monotonic(), len(await raw.client_list())
    promise = "0 wrong replies, 0 leaked connections, the pool still works"
    for _, random in runs.of(f"commands cancelled in mid-flight, {EACH} at a time", promise, short=3, full=100):
        caller = Caller(backend, random)
        for turn in range(EACH // TOGETHER):
            await caller.some()
            if turn % 2 == 0:
                await caller.subscribed(raw)
        ended += caller.ended
        assert caller.ended["WRONG"] == 0
        assert caller.ended["cancelled"] > EACH / 10
        await every_call_goes_well(backend)

        async def few() -> bool:
            return len(await raw.client_list()) - others <= connections.CONNECTIONS

        await eventually(few)
    await backend.aclose()

    async def none() -> bool:
        return len(await raw.client_list()) == others

    await eventually(none)
    runs.note(", ".join(f"{count} {how}" for how, count in ended.most_common()))
    runs.note(f"{time.monotonic() - began:.0f} s")


async def every_call_goes_well(backend: ValkeyBackend) -> None:
    """Use every place of the pool, without a cancellation."""
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for number in range(2 * connections.CONNECTIONS):
                group.start_soon(answered, backend, number)


async def answered(backend: ValkeyBackend, number: int) -> None:
    for _ in range(20):
        with suppress(StoreUnreachableError):
            assert await backend.get(KEY.format(number)) == b"%d" % number
            return
    raise AssertionError("the pool does not work")
