"""How much is tried, and what it showed."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import pytest

from tests.fuzz import amount
from tests.fuzz.clients import many_descriptors
from tests.processes import Daemon, running

TOKEN = "a-token-that-is-long-enough"
SETTINGS = {
    "HOTBAND_PAIRS": "EUR_USD",
    "HOTBAND_SOURCE": "simulated",
    "CANDLE_HOT_DAYS": "4",
    "HOTBAND_HTTP_TOKEN": TOKEN,
}
NOTES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOTES] = []
    amount.FULL = bool(config.getoption("--full"))


@pytest.fixture(scope="session")
def full() -> bool:
    """Tell whether all is to be tried, not just a little."""
    return amount.FULL


@pytest.fixture(scope="package")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Run one daemon for all that is done to it from outside; at the end it must not have lost its composure."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    many_descriptors()
    with running(tmp_path_factory.mktemp("home"), **SETTINGS) as started:
        started.ready()
        yield started
        assert started.process.poll() is None
        assert "Traceback" not in started.stderr
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return how to tell a figure at the end of the run."""
    return lambda text: request.config.stash[NOTES].append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if notes := config.stash[NOTES]:
        terminalreporter.section("bad input")
        for text in notes:
            terminalreporter.write_line(text)
