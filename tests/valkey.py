"""Real Valkey servers for tests: each embedded server belongs to a process of its own, which ends with the tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import anyio

from hotbandd.adapters.embedded_valkey import embedded

ROOT = Path(__file__).resolve().parents[1]


class Owner(NamedTuple):
    """A process that owns or has joined the server of a home, and the URL that it was given."""

    process: subprocess.Popen[str]
    url: str


@contextmanager
def owner(home: Path) -> Iterator[Owner]:
    """Run an embedded server in a process of its own."""
    with launched(home) as process:
        assert process.stdout is not None
        yield Owner(process, process.stdout.readline().strip())


@contextmanager
def launched(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Start such a process without waiting for its URL; it ends when its input does."""
    command = [sys.executable, "-m", "tests.valkey", str(home)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.communicate()


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait until a check holds; fail after a while."""
    for _ in range(int(seconds * 100)):
        if await check():
            return
        await anyio.sleep(0.01)
    raise AssertionError(f"it did not happen within {seconds} s")


async def main(home: Path) -> None:
    """Own the server of a home until the input ends."""
    async with embedded(home) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await anyio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
