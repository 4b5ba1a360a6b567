"""``hotbandd``, with faults inside that signals set off: ``python -m tests.faults.hooked run``.

The environment's HOOKS is a JSON object of seconds: ``grace`` of the heartbeats, ``deadline`` of a hydrator's step that hangs,
``pause`` before the first restart of a loop.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio

JUMP = signal.SIGRTMIN  # the wall clock, to where the file ``jump`` says
BLOCK = signal.SIGRTMIN + 1  # the event loop, for an hour
HANG = signal.SIGRTMIN + 2  # each step of the hydrator
HANG_DEAF = signal.SIGRTMIN + 3  # the same, and cancellation does not reach it
BREAK = signal.SIGRTMIN + 4  # each step of the allocator fails
STALL = signal.SIGRTMIN + 5  # the event loop, for a second

Step = Callable[..., Awaitable[None]]


async def _hang(*_: Any) -> None:
    await anyio.sleep_forever()


async def _hang_deaf(*_: Any) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()


async def _fail(*_: Any) -> None:
    raise ValueError("broken for good")


def install(hooks: dict[str, Any]) -> None:
    """Install the hooks."""
    from hotbandd.services import health, supervisor
    from hotbandd.services.allocator import Allocator
    from hotbandd.services.hydrator import Hydrator

    signal.signal(STALL, lambda *_: time.sleep(1))
    signal.signal(BLOCK, lambda *_: time.sleep(3600))
    built: list[Hydrator] = []
    build = Hydrator.__init__

    def remember(self: Hydrator, *args: Any) -> None:
        build(self, *args)
        built.append(self)

    def hang(step: Step) -> Any:
        def from_now_on(*_: Any) -> None:
            Hydrator.step = step
            built[-1].deadline_sec = hooks.get("deadline", built[-1].deadline_sec)

        return from_now_on

    Hydrator.__init__ = remember
    signal.signal(HANG, hang(_hang))
    signal.signal(HANG_DEAF, hang(_hang_deaf))
    signal.signal(BREAK, lambda *_: setattr(Allocator, "step", _fail))
    _jumping()
    if "grace" in hooks:
        health.GRACE_SEC = hooks["grace"]
    if "pause" in hooks:
        supervisor.Intensity = partial(supervisor.Intensity, first_pause_sec=hooks["pause"])


def _jumping() -> None:
    """From JUMP on, let the wall clock of this process be off by as many seconds as the file ``jump`` says."""
    real, offset = time.time_ns, 0

    def jump(*_: Any) -> None:
        nonlocal offset
        offset = int(float(Path("jump").read_text()) * 1e9)

    time.time_ns = lambda: real() + offset
    signal.signal(JUMP, jump)


if __name__ == "__main__":
    install(json.loads(os.environ.pop("HOOKS", "{}")))
    from hotbandd.__main__ import main

    main()
