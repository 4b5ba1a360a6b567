"""Memory that was freed is the system's again."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

# Large things and small ones in turn; the large ones go, and what lies between the small ones is free.
FREED = """
import os
from hotbandd.adapters.memory import give_back
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000
both = [(b"x" * 100_000, b"y" * 1_000) for _ in range(1_000)]
kept = [small for _, small in both]
del both
before = resident()
give_back()
print(before, resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library cannot be told to")
def test_what_was_freed_between_things_that_stay_is_given_back() -> None:
    run = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True, env={**os.environ})
    before, after = map(int, run.stdout.split())
    assert before > 100
    assert after < before - 60
