"""Warm-up: from a cold store to fresh manifolds, in steps that can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hotbandd.core.sessions import Calendar
from hotbandd.errors import UsageError
from hotbandd.operations import hydrate
from hotbandd.operations.backfill import Backfill, Wanted
from hotbandd.operations.hydrate import Hydrate
from hotbandd.operations.prime import Prime

STEPS: Final = ("backfill", "prime", "hydrate")
MINUTES_A_DAY: Final = 1440


@dataclass(frozen=True)
class Warmup:
    """The three steps, in the order in which each finds what it needs."""

    backfill: Backfill | None  # where there is a source
    prime: Prime
    hydrate: Hydrate
    calendar: Calendar

    async def run(
        self, steps: frozenset[str], pairs: tuple[str, ...], wanted: Wanted, now: int
    ) -> Mapping[str, Mapping[str, Any]]:
        """Run steps; return what each did, by instrument."""
        done: dict[str, Mapping[str, Any]] = {}
        if "backfill" in steps and self.backfill is not None:
            done["backfill"] = await self.backfill.run(pairs, wanted, now)
        if "prime" in steps:
            days = wanted.days or -(-wanted.count // MINUTES_A_DAY)
            done["prime"] = await self.prime.run(pairs, days, now)
        if "hydrate" in steps:
            done["hydrate"] = await self.hydrate.run(pairs, now)
        return done

    async def faults(self, steps: frozenset[str], pairs: tuple[str, ...], now: int) -> list[str]:
        """Return what is not as it should be after these steps, a sentence each."""
        if "hydrate" not in steps:
            return []
        return await hydrate.faults(self.hydrate.store, self.hydrate.archive, pairs, self.calendar, now)


def parse_steps(text: str) -> frozenset[str]:
    """Parse ``backfill,prime,hydrate`` or a part of it. Raises UsageError."""
    steps = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [step for step in steps if step not in STEPS]
    if unknown or not steps:
        raise UsageError(f"--steps takes some of {','.join(STEPS)}, not {text!r}.")
    return frozenset(steps)
