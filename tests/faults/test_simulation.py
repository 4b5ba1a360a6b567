"""Weeks of the daemon under a virtual clock, with mixed faults that a seed draws, before an observer who knows the rules."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.faults.runs import Runs
from tests.simulation.mishaps import MISHAPS
from tests.simulation.world import simulate

SHORT, SHORT_DAYS = 3, 3
FULL, FULL_DAYS = 200, 30
CORES = 2


def pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(CORES, mp_context=multiprocessing.get_context("spawn"))


def test_weeks_of_mixed_faults_break_no_rule(runs: Runs, request):
    alone, full = request.config.getoption("--seed"), request.config.getoption("--full")
    seeds = [alone] if alone is not None else range(FULL if full else SHORT)
    days = FULL_DAYS if full or alone is not None else SHORT_DAYS
    counts: Counter[str] = Counter()
    with pool() as workers:
        reports = workers.map(simulate, seeds, [days] * len(seeds))  # side by side, told in order
        for seed, _ in runs.of("mixed, in simulation", f"{days} virtual days break no rule", short=SHORT, full=FULL):
            report = next(reports)
            counts.update(report.counts)
            assert report.seed == seed
            assert not report.failures, "\n".join([*report.failures, f"run it again: {report.again()}"])
    assert counts["raised weights"]
    assert counts["open flags"]
    mishaps = sum(counts[mishap.__name__] for mishap in set(MISHAPS))
    runs.note(f"{mishaps} mishaps, {counts['leases']} leases, {counts['gates']} blobs, {counts['weights']} allocations")


def test_a_seed_always_gives_the_same_trace():
    with pool() as workers:
        first, second = workers.map(simulate, (1, 1), (1.5, 1.5))
    assert first == second
    assert first.counts["gates"] > 10
