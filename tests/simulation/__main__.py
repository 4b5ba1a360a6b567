"""``python -m tests.simulation --seed 7 [--days 30]``, or ``--seeds 0:200 --jobs 2``."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.simulation.world import Report, simulate


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def told(report: Report) -> str:
    """Return what became of a seed, as text."""
    lines = [f"seed {report.seed}: {'FAILED' if report.failures else 'held'}, trace {report.digest}"]
    if report.failures:
        lines += [f"  {failure}" for failure in report.failures]
        lines.append(f"  run it again: {report.again()}")
    return "\n".join(lines)


def reports(seeds: Sequence[int], days: float, jobs: int) -> Iterator[Report]:
    """Simulate seeds, side by side where there are jobs for it; yield each as it ends."""
    if jobs == 1:
        yield from (simulate(seed, days) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from (done.result() for done in as_completed([pool.submit(simulate, seed, days) for seed in seeds]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", help="FIRST:END", default="0:1")
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--counts", action="store_true", help="tell how often what happened")
    given = parser.parse_args()
    first, end = map(int, given.seeds.split(":"))
    seeds = range(first, end) if given.seed is None else [given.seed]
    began, failed, counts = time.time(), 0, Counter[str]()
    for report in reports(seeds, given.days, given.jobs):
        counts.update(report.counts)
        failed += bool(report.failures)
        say(told(report))
    say(f"{len(seeds)} seeds of {given.days:g} days, {failed} failed, {time.time() - began:.0f} s")
    if given.counts:
        say(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
