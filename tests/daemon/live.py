"""The three loops as live: candles from a fake OANDA over HTTP, a real Valkey, a clock that jumps from event to event.

``python -m tests.daemon.live VALKEY_URL CANDLES BEGIN END DIE``: ``DIE`` is the number of the publication at which the process kills
itself, as ``12`` (before it) or ``12!`` (after it), or ``never``. The environment holds the settings.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio

from hotbandd import daemon, parts
from hotbandd.adapters import log, metrics
from hotbandd.adapters.clock import VirtualClock
from hotbandd.adapters.compute import ProcessCompute
from hotbandd.adapters.oanda import OandaSource
from hotbandd.adapters.replay import ReplaySource
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.services.loop import Due, Loop, LoopRunner
from hotbandd.settings import read_settings
from tests.fake_oanda import TOKEN, fake_oanda

PUBLICATIONS = {"publish_evaluation", "publish_allocation"}
HOLDER = "live"


class Mortal:
    """A store whose process dies at one of its publications."""

    def __init__(self, store: Any, die: str) -> None:
        self._store = store
        self._left = int(die.rstrip("!")) if die != "never" else -1
        self._after = die.endswith("!")

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        return self._counted(call) if name in PUBLICATIONS else call

    def _counted(self, call: Any) -> Any:
        async def publish(*args: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            outcome = await call(*args)
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return outcome

        return publish


async def main(url: str, folder: Path, begin: int, end: int, die: str) -> None:
    """Live from a moment to another one."""
    settings = read_settings(None).settings
    log.configure("warning", "json", interactive=False, secrets=())
    clock, files = VirtualClock(begin), ReplaySource(folder)
    candles = {pair: await files.whole(pair) for pair in settings.pairs}
    compute = ProcessCompute(1)
    async with (
        fake_oanda(candles, clock.now) as oanda,
        open_valkey(url, parts.ages(settings)) as valkey,
    ):
        source = OandaSource(TOKEN, "practice", base_url=oanda.url)
        store: Any = Mortal(valkey, die)
        outside = daemon.Outside(store, source, compute, clock, metrics.telemetry(clock.now))
        desk = daemon.desk(settings, outside)
        await store.init_kill_switch(engaged=False)
        lease = await store.acquire_lease(HOLDER, 600_000)
        assert lease is not None
        desk.context.leadership.gain(lease)
        runner = LoopRunner(clock, outside.telemetry, desk.health, desk.context.leadership)

        async def member(loop: Loop) -> None:
            async with clock.member():
                await runner.run(loop)

        while not desk.context.market.loaded.is_set():  # decisions wait for the history
            await desk.hydrator.step(Due(begin, begin))
        async with anyio.create_task_group() as group:
            for loop in desk.loops:
                group.start_soon(member, loop)
            await clock.run(end)
            group.cancel_scope.cancel()
        await source.aclose()
    await compute.aclose()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
