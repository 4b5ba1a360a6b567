"""How much is tried, and what it showed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz import amount

NOTES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOTES] = []
    amount.FULL = bool(config.getoption("--full"))


@pytest.fixture(scope="session")
def full() -> bool:
    """Tell whether all is to be tried, not just a little."""
    return amount.FULL


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return how to tell a figure at the end of the run."""
    return lambda text: request.config.stash[NOTES].append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if notes := config.stash[NOTES]:
        terminalreporter.section("bad input")
        for text in notes:
            terminalreporter.write_line(text)
