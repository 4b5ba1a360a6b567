"""Programs of the system that some tests need, which .ci/packages lists."""

from __future__ import annotations

import os
import shutil

import pytest


def tool(name: str, package: str) -> str:
    """Return the path of a program; skip without it, and fail where .ci/run has installed it."""
    found = shutil.which(name)
    if found is None:
        words = f"{name} is missing: apt-get install {package}"
        if os.environ.get("TEST_TOOLS") == "required":
            pytest.fail(words)
        pytest.skip(words)
    return found
