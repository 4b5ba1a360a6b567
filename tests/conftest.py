"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from redis.asyncio import Redis

from tests.valkey import Guarded, guarded

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
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Return a real server, one for the session, that grants hotband no more than config/valkey/users.acl does."""
    with guarded(tmp_path_factory.mktemp("valkey")) as found:
        yield found


@pytest.fixture(scope="session")
def valkey_url(valkey: Guarded) -> str:
    """Return the URL of that server for hotband's user."""
    return valkey.url


@pytest.fixture
async def raw(valkey: Guarded) -> AsyncIterator[Redis]:
    """Return a plain client of the emptied server, its administrator's."""
    async with Redis.from_url(valkey.admin_url, protocol=2) as client:
        await client.flushall()
        yield client
