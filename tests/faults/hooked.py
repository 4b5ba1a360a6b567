"""``hotbandd``, with faults inside that signals set off: ``python -m tests.faults.hooked run``.

The environment's HOOKS is a JSON object: ``grace``, ``deadline`` and ``pause`` are seconds of the heartbeats' grace, of a hydrator's
step that hangs, and of the first pause before a restart; ``jumps`` are what each JUMP adds, in seconds, to the wall clock as this process reads it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio

JUMP = signal.SIGRTMIN
BLOCK = signal.SIGRTMIN + 1  # the event loop, for an hour
HANG = signal.SIGRTMIN + 2  # each step of the hydrator
HANG_DEAF = signal.SIGRTMIN + 3  # the same, and cancellation does not reach it
BREAK = signal.SIGRTMIN + 4  # each step of the allocator fails

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
    _jumping(hooks.get("jumps", []))
    if "grace" in hooks:
        health.GRACE_SEC = hooks["grace"]
    if "pause" in hooks:
        supervisor.Intensity = partial(supervisor.Intensity, first_pause_sec=hooks["pause"])


def _jumping(jumps: list[float]) -> None:
    real, left, offset = time.time_ns, list(jumps), 0

    def jump(*_: Any) -> None:
        nonlocal offset
        offset += int(left.pop(0) * 1e9)

    time.time_ns = lambda: real() + offset
    signal.signal(JUMP, jump)


if __name__ == "__main__":
    install(json.loads(os.environ.pop("HOOKS", "{}")))
    from hotbandd.__main__ import main

    main()
