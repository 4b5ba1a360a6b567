"""Supervision: a loop that fails is started anew with backoff; one that fails too often ends the process."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import structlog

from hotbandd.errors import RestartIntensityError
from hotbandd.ports import Telemetry
from hotbandd.services.health import Health

log = structlog.get_logger()


@dataclass(frozen=True)
class Intensity:
    """At most ``restarts`` restarts of a loop within ``within_sec``; pauses double from ``first_pause_sec``, with jitter."""

    restarts: int = 5
    within_sec: float = 300.0
    first_pause_sec: float = 0.5
    last_pause_sec: float = 30.0


async def supervise(
    name: str,
    run: Callable[[], Awaitable[None]],
    telemetry: Telemetry,
    health: Health,
    intensity: Intensity | None = None,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Run a loop for ever; raise RestartIntensityError once it fails too often."""
    rules = intensity or Intensity()
    failures: deque[float] = deque(maxlen=rules.restarts + 1)
    while True:
        try:
            await run()
        except Exception as error:
            failures.append(monotonic())
            while failures[0] < failures[-1] - rules.within_sec:
                failures.popleft()
            telemetry.loop_failed(name, type(error).__name__)
            health.failed(name, str(error) or type(error).__name__)
            log.exception("loop.failed", loop=name, restarts=len(failures))
            if len(failures) > rules.restarts:
                raise RestartIntensityError(
                    f"The loop {name} failed {len(failures)} times within {rules.within_sec:.0f} s, last with "
                    f"{type(error).__name__}: {error}. Its log lines loop.failed say where."
                ) from error
        else:
            return
        pause = min(rules.last_pause_sec, rules.first_pause_sec * 2 ** (len(failures) - 1))
        pause *= random.uniform(0.5, 1.0)  # noqa: S311  jitter, not a secret
        health.waiting(name, pause)
        await anyio.sleep(pause)
