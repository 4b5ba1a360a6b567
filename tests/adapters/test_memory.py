"""Memory that was freed is the system's again."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library cannot be told to give memory back"
)

RESIDENT = """
import os
from hotbandd.adapters import memory
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000
def between(large):
    both = [(b"x" * large, b"y" * 1_000) for _ in range(100_000_000 // large)]
    most = resident()
    return most, [small for _, small in both]
"""


def megabytes(program: str) -> list[int]:
    """Run a program in a process of its own; return what it prints."""
    run = subprocess.run([sys.executable, "-c", RESIDENT + program], capture_output=True, text=True, check=True)
    return [int(word) for word in run.stdout.split()]


@glibc
def test_what_was_freed_between_things_that_stay_is_given_back() -> None:
    before, after = megabytes("most, kept = between(100_000); a = resident(); memory.give_back(); print(a, resident())")
    assert before > 100
    assert after < before - 60


@glibc
def test_large_arrays_go_by_themselves_whatever_was_freed_before() -> None:
    most, after = megabytes(
        "memory.keep_large_apart(); big = b'x' * 30_000_000; del big; most, kept = between(1_000_000); print(most, resident())"
    )
    assert most > 100
    assert after < most - 60
