"""The table of faults says what happened, and how to see it again."""

from __future__ import annotations

import random

import pytest

from tests.faults.runs import Count, Fault, Runs, again, table


def test_the_short_count_is_the_suites_and_the_full_one_the_promises():
    faults: list[Fault] = []
    assert [seed for seed, _ in Runs(Count(full=False, seed=None), "x", faults).of("a", "b", short=2, full=5)] == [0, 1]
    assert len(list(Runs(Count(full=True, seed=None), "x", faults).of("a", "b", short=2, full=5))) == 5
    assert [seed for seed, _ in Runs(Count(full=True, seed=7), "x", faults).of("a", "b", short=2, full=5)] == [7]
    assert [fault.outcome for fault in faults] == ["held"] * 3


def test_a_seed_gives_the_same_random_numbers_every_time():
    drawn = [
        generator.random() for _, generator in Runs(Count(full=False, seed=3), "x", []).of("a", "b", short=1, full=1)
    ]
    assert drawn == [random.Random(3).random()]


def test_a_failed_run_is_told_with_its_seed_and_the_line_that_repeats_it():
    faults: list[Fault] = []
    runs = Runs(Count(full=False, seed=None), "tests/faults/test_x.py::test_y", faults)

    def fail_at_the_second() -> None:
        for seed, _ in runs.of("killed", "back in 2 s", short=3, full=3):
            runs.recovered(0.5 + seed)
            assert seed < 1

    with pytest.raises(AssertionError):
        fail_at_the_second()
    assert "| killed | back in 2 s | 1 | FAILED at seed 1 | 1.50 s |  |" in table(faults)
    assert again(faults[0]) == "make faults FAULT='tests/faults/test_x.py::test_y' SEED=1"
