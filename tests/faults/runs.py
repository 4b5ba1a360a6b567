"""Seeded runs of a fault: how many, what became of them, and how long the worst recovery took."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Fault:
    """One row of the table: what was promised, and what each run showed."""

    name: str
    promise: str
    node: str
    done: int = 0
    asked: int = 0
    recoveries: list[float] = field(default_factory=list)
    failed_seed: int | None = None
    notes: list[str] = field(default_factory=list)

    def recovered(self, seconds: float) -> None:
        """Note how long it took, from the end of the fault, until all was well again."""
        self.recoveries.append(seconds)

    def note(self, text: str) -> None:
        """Add a figure that belongs into the table."""
        self.notes.append(text)

    @property
    def outcome(self) -> str:
        """Return what became of the runs, in words."""
        if self.failed_seed is not None:
            return f"FAILED at seed {self.failed_seed}"
        return "held" if self.done == self.asked else f"ended after {self.done} of {self.asked}"


@dataclass(frozen=True)
class Count:
    """How many runs are wanted: few or all, or one seed alone."""

    full: bool
    seed: int | None


class Runs:
    """The runs of one test. Iterating over :meth:`of` yields (seed, its own generator of random numbers)."""

    def __init__(self, count: Count, node: str, table: list[Fault]) -> None:
        self._count = count
        self._node = node
        self._table = table
        self.fault: Fault | None = None

    @property
    def full(self) -> bool:
        """Whether the full count is wanted."""
        return self._count.full

    def of(self, name: str, promise: str, *, short: int, full: int) -> Iterator[tuple[int, random.Random]]:
        """Yield the seeds of a fault; a run that raises ends the test, and its seed is told."""
        seeds = range(full if self._count.full else short) if self._count.seed is None else [self._count.seed]
        fault = self.fault = Fault(name, promise, self._node, asked=len(seeds))
        self._table.append(fault)
        for seed in seeds:
            fault.failed_seed = seed  # until this run is over
            yield seed, random.Random(seed)
            fault.failed_seed = None
            fault.done += 1

    def recovered(self, seconds: float) -> None:
        """Note how long the present run took to recover."""
        assert self.fault is not None
        self.fault.recovered(seconds)

    def note(self, text: str) -> None:
        """Add a figure to the row of the present fault."""
        assert self.fault is not None
        self.fault.note(text)


def on_this_machine(seconds: float) -> float:
    """Return what a promise of some seconds comes to where more processes want to run than there are processors."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def table(faults: list[Fault]) -> str:
    """Return the table in Markdown."""
    lines = ["| fault | must | runs | outcome | worst recovery | figures |", "|---|---|---|---|---|---|"]
    for fault in faults:
        worst = f"{max(fault.recoveries):.2f} s" if fault.recoveries else "–"
        cells = [fault.name, fault.promise, str(fault.done), fault.outcome, worst, "; ".join(fault.notes)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def again(fault: Fault) -> str:
    """Return the line that runs a failed seed again."""
    return f"make faults FAULT='{fault.node}' SEED={fault.failed_seed}"
