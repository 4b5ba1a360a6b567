"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from redis.asyncio import Redis

from tests.valkey import owner

settings.register_profile("project", deadline=None)  # a busy machine is no failure
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption(
        "--full", action="store_true", help="run each fault as often as its promise asks, not just a few times"
    )
    group.addoption("--seed", type=int, help="run this seed of a fault alone")


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real candles and golden outputs, or skip."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real candles and golden outputs at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a real server, one for the session."""
    with owner(tmp_path_factory.mktemp("home")) as owned:
        yield owned.url


@pytest.fixture
async def raw(valkey_url: str) -> AsyncIterator[Redis]:
    """Return a plain client of the emptied server."""
    async with Redis.from_url(valkey_url, protocol=2) as client:
        await client.flushall()
        yield client
