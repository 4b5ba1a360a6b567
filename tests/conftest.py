"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None)  # a busy machine is no failure
settings.load_profile("project")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real candles and golden outputs, or skip."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real candles and golden outputs at {SHARED_DATA}")
    return SHARED_DATA
