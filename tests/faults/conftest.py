"""The count of runs, and the table of what they showed."""

from __future__ import annotations

import pytest

from tests.faults.runs import Count, Fault, Runs, again, table

TABLE = pytest.StashKey[list[Fault]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = []


@pytest.fixture
def runs(request: pytest.FixtureRequest) -> Runs:
    """Return the runs that are asked for of this test: ``for seed, random in runs.of(fault, promise, short=2, full=100)``."""
    count = Count(request.config.getoption("--full"), request.config.getoption("--seed"))
    return Runs(count, request.node.nodeid, request.config.stash[TABLE])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    faults = config.stash[TABLE]
    if faults:
        terminalreporter.section("faults")
        terminalreporter.write_line(table(faults))
        for fault in faults:
            if fault.failed_seed is not None:
                terminalreporter.write_line(f"run it again: {again(fault)}")
