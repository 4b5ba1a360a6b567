"""Two processes on one Valkey, the one that leads stopped and resumed: the other takes over, and the deposed publishes nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
import httpx
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from redis.asyncio import Redis

from tests.faults.runs import Runs, on_this_machine
from tests.faults.witness import NOTIFIED, Witness, plainly, witness
from tests.processes import Daemon, running
from tests.valkey import ROOT, eventually, guarded

TTL_SEC = 0.5
PATIENCE_SEC = 60.0
TOGETHER = 4  # pairs at once in the full count: most of the time all of them wait


@dataclass
class Publisher:
    """One of two processes that want to lead, and what it told."""

    holder: str
    process: Process
    told: Counter[str] = field(default_factory=Counter)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for text in TextReceiveStream(self.process.stdout):
            self.told.update(text.split())


@dataclass
class Pair:
    """Two publishers on a server of their own, and a witness."""

    client: Redis
    seen: Witness
    publishers: list[Publisher]

    async def leader(self) -> Publisher:
        """Return who publishes now."""
        while True:
            before = self.seen.publications
            await self.publishes(before)
            holder = (await self.client.get("hotband:leader") or b"").rpartition(b":")[0].decode()
            for one in self.publishers:
                if one.holder == holder:
                    return one

    async def publishes(self, before: int) -> None:
        await held(lambda: self.seen.publications > before and self.seen.first_at > 0)

    async def taken_over(self, random: Random) -> float:
        """Stop the leader wherever it is, resume it once the other one publishes; return after how long that had the lease."""
        leader = await self.leader()
        await anyio.sleep(random.uniform(0, TTL_SEC / 3))
        if random.random() < 0.3:  # once more before: a stop that ends about when the lease does
            os.kill(leader.process.pid, signal.SIGSTOP)
            await anyio.sleep(TTL_SEC * random.uniform(0.6, 1.2))
            os.kill(leader.process.pid, signal.SIGCONT)
            leader = await self.leader()
        taken, deposed = self.seen.taken, leader.told["deposed"]
        stopped = time.monotonic()
        os.kill(leader.process.pid, signal.SIGSTOP)
        await held(lambda: self.seen.taken > taken and self.seen.first_at > 0)
        took = self.seen.taken_at - stopped
        await anyio.sleep(random.choice([0.0, random.uniform(0, TTL_SEC)]))
        os.kill(leader.process.pid, signal.SIGCONT)
        await held(lambda: leader.told["deposed"] > deposed)
        return took


async def held(check: Callable[[], bool]) -> None:
    async def ask() -> bool:
        return check()

    await eventually(ask, PATIENCE_SEC)


@asynccontextmanager
async def publisher(url: str, holder: str) -> AsyncIterator[Publisher]:
    words = [sys.executable, "-m", "tests.faults.publisher", url, holder, str(TTL_SEC)]
    process = await anyio.open_process(words, cwd=ROOT, stderr=None)
    try:
        yield Publisher(holder, process)
    finally:
        process.kill()
        await process.aclose()


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Pair]:
    folder.mkdir()
    with guarded(folder, *NOTIFIED) as server:
        async with (
            Redis.from_url(server.admin_url, protocol=2) as client,
            witness(server.admin_url) as seen,
            publisher(server.url, "one") as one,
            publisher(server.url, "two") as two,
            anyio.create_task_group() as group,
        ):
            group.start_soon(one.listen)
            group.start_soon(two.listen)
            yield Pair(client, seen, [one, two])
            group.cancel_scope.cancel()


async def test_a_leader_that_was_stopped_publishes_nothing_once_another_took_over(runs: Runs, tmp_path):
    count = TOGETHER if runs.full else 1
    promise = f"0 publications by the deposed; take-over ≤ lease + 1 s, with a lease of {TTL_SEC} s"
    name = f"leader stopped and resumed: publishers, {count} pair{'s' * (count > 1)} at once"
    async with plainly(), AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(pair(tmp_path / str(number))) for number in range(count)]

        async def turn(one: Pair, random: Random) -> None:
            took = await one.taken_over(random)
            runs.recovered(took)
            assert took <= (on_this_machine(TTL_SEC + 1) if runs.full else PATIENCE_SEC)

        for _, random in runs.of(name, promise, short=2, full=1000 // TOGETHER):
            async with anyio.create_task_group() as group:
                for one in pairs:
                    group.start_soon(turn, one, Random(random.random()))
        runs.note(f"{sum(one.seen.taken - 1 for one in pairs)} take-overs")
        runs.note(f"{sum(one.seen.publications for one in pairs)} publications seen")
        refused = sum(one.told["fenced"] for made in pairs for one in made.publishers)
        runs.note(f"{refused} of the deposed refused")
        assert refused > 0, "no deposed one tried to publish, so nothing was proved"


DAEMON_TTL_SEC = 2.0  # of a whole daemon, that has more to do
DAEMON = {
    "HOTBAND_SOURCE": "simulated",
    "HOTBAND_PAIRS": "EUR_USD,AUD_USD",
    "CANDLE_HOT_DAYS": "3",
    "EVAL_INTERVAL_SEC": "1",
    "ALLOC_INTERVAL_SEC": "1",
    "DECISION_LAG_SEC": "0",
    "HOTBAND_COMPUTE": "inline",
    "LEASE_TTL_SEC": str(DAEMON_TTL_SEC),
}


async def test_of_two_daemons_one_leads_and_both_tell_which_however_often_it_is_stopped(runs: Runs, tmp_path):
    promise = f"0 publications by the deposed; take-over ≤ lease + 1 s, with a lease of {DAEMON_TTL_SEC:g} s"
    homes = [tmp_path / name for name in ("one", "two")]
    for home in homes:
        home.mkdir()
    with guarded(tmp_path, *NOTIFIED) as server:
        settings = {**DAEMON, "VALKEY_URL": server.url}
        async with plainly(), witness(server.admin_url) as seen:
            with running(homes[0], **settings) as one, running(homes[1], **settings) as two:
                for _, random in runs.of("leader stopped and resumed: hotband run", promise, short=1, full=100):
                    took = await deposed(one, two, seen, random)
                    runs.recovered(took)
                    assert took <= (on_this_machine(DAEMON_TTL_SEC + 1) if runs.full else PATIENCE_SEC)
                runs.note(f"{seen.publications} publications seen")
                for daemon in (one, two):
                    assert daemon.end(signal.SIGTERM) < 5
                    assert daemon.process.returncode == 0, daemon.stderr
                    assert not daemon.events("loop.failed")


async def deposed(one: Daemon, two: Daemon, seen: Witness, random: Random) -> float:
    """Stop the daemon that leads, resume it after the other one took over; return how long that took."""
    await held(lambda: seen.first_at > 0)
    leader, _ = await who_is_who(one, two)
    await anyio.sleep(random.uniform(0, 1))
    taken, lost = seen.taken, len(leader.events("leader.lost"))
    stopped = time.monotonic()
    leader.process.send_signal(signal.SIGSTOP)
    await held(lambda: seen.taken > taken)
    took = seen.taken_at - stopped
    await anyio.sleep(random.uniform(0, 1))
    leader.process.send_signal(signal.SIGCONT)
    await held(lambda: len(leader.events("leader.lost")) > lost)
    await who_is_who(one, two)
    return took


async def who_is_who(one: Daemon, two: Daemon) -> tuple[Daemon, Daemon]:
    """Wait until both daemons tell the same of who leads, on all their pages; return the one that leads, and the one that does not."""

    def ask() -> tuple[Daemon, Daemon] | None:
        leader, standby = (one, two) if one.get("/status")[1]["leading"] else (two, one)
        told = [daemon.get("/status")[1] for daemon in (leader, standby)]
        if [each["leading"] for each in told] != [True, False] or told[0]["leader"] != told[1]["leader"]:
            return None
        holder, epoch = told[0]["leader"]["holder"], told[0]["leader"]["epoch"]
        code, readiness = standby.get("/readyz")
        agreed = (
            f"-{leader.process.pid}-" in holder
            and (gauge(leader, "leader"), gauge(standby, "leader")) == (1, 0)
            and gauge(leader, "leader_epoch") == gauge(standby, "leader_epoch") == epoch
            and code == 503
            and f"this process does not lead, {holder} does, with epoch {epoch}" in readiness["reasons"]
        )
        return (leader, standby) if agreed else None

    return await anyio.to_thread.run_sync(one.until, ask, "one that leads, told by both")


def gauge(daemon: Daemon, name: str) -> float:
    text = httpx.get(daemon.event("daemon.started")["http"] + "/metrics", timeout=10).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"hotband_{name} "))
