"""Deploy: steps in a row, each timed and told; the first that fails stops the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from hotbandd.errors import HotbandError, first_of

State = Literal["done", "skipped", "failed", "not reached"]
Work = Callable[[], Awaitable[str]]  # says in words what it did; raises HotbandError where it failed

NOT_REACHED: Final = "a step before it failed"


@dataclass(frozen=True)
class Step:
    """One step. ``skipped``: why it is left out, None where it is not."""

    name: str
    work: Work
    skipped: str | None = None


class Result(msgspec.Struct, frozen=True):
    """What became of a step."""

    name: str
    state: State
    seconds: float
    said: str


async def run(steps: Sequence[Step], monotonic: Callable[[], float], told: Callable[[Result], None]) -> list[Result]:
    """Run steps in their order, tell of each as it ends, and return all. An error that is not ours is raised."""
    results: list[Result] = []
    for step in steps:
        if not succeeded(results):
            results.append(Result(step.name, "not reached", 0.0, NOT_REACHED))
        elif step.skipped is not None:
            results.append(Result(step.name, "skipped", 0.0, step.skipped))
        else:
            results.append(await _run(step, monotonic))
        told(results[-1])
    return results


async def _run(step: Step, monotonic: Callable[[], float]) -> Result:
    began = monotonic()
    state: State = "done"
    try:
        said = await step.work()
    except (HotbandError, BaseExceptionGroup) as error:
        ours = first_of(error)
        if ours is None:
            raise
        state, said = "failed", str(ours)
    return Result(step.name, state, monotonic() - began, said)


def succeeded(results: Sequence[Result]) -> bool:
    """Tell whether no step failed."""
    return all(result.state != "failed" for result in results)
