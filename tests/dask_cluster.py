"""A scheduler of Dask's and its workers, as processes of their own on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.processes import PATIENCE_SEC, POLL_SEC, descendants

ROOT = Path(__file__).resolve().parents[1]
MEMORY = "1GB"


class Cluster:
    """A scheduler, and the workers that were started for it; ``nanny``: each with a process that starts it anew."""

    def __init__(self, home: Path, *, nanny: bool = False) -> None:
        self._home = home
        self._nanny = "--nanny" if nanny else "--no-nanny"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def place(self) -> str:
        """Return HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        file = self._home / "scheduler.json"
        file.unlink(missing_ok=True)
        words = ("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--scheduler-file", str(file))
        self.scheduler = self._start("scheduler", *words)
        until(file.exists, "a scheduler")
        until(lambda: file.read_text() and json.loads(file.read_text()), "its address")

    def start_worker(self, *paths: Path) -> int:
        """Start a worker, with folders before all others that it imports from; return its number."""
        words = ("--nthreads", "1", self._nanny, "--no-dashboard", "--memory-limit", MEMORY)
        self.workers.append(
            self._start("worker", f"tcp://{self.place}", *words, "--local-directory", str(self._home), paths=paths)
        )
        return len(self.workers) - 1

    def _start(self, command: str, *words: str, paths: tuple[Path, ...] = ()) -> subprocess.Popen[bytes]:
        place = os.pathsep.join(map(str, (*paths, ROOT)))
        environment = {"PATH": os.defpath, "HOME": str(self._home), "PYTHONPATH": place, "OMP_NUM_THREADS": "1"}
        with (self._home / f"{command}{len(self.workers)}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{command}", *words],
                stdout=log,
                stderr=log,
                cwd=self._home,
                env=environment,
            )

    def kill_scheduler(self) -> None:
        kill(self.scheduler)

    def kill_worker(self, number: int) -> None:
        """Kill a worker, and who would start it anew."""
        kill(self.workers[number])


@contextmanager
def cluster(home: Path, workers: int, *, nanny: bool = False) -> Iterator[Cluster]:
    """Run a scheduler with workers; nothing of them stays."""
    found = Cluster(home, nanny=nanny)
    try:
        found.start_scheduler()
        for _ in range(workers):
            found.start_worker()
        yield found
    finally:
        for process in (*found.workers, found.scheduler):
            kill(process)


def kill(process: subprocess.Popen[bytes] | None) -> None:
    """Kill a process and all that descend from it."""
    if process is not None:
        for pid in descendants(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def until(check: Callable[[], Any], what: str) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + PATIENCE_SEC
    while not (found := check()):
        assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE_SEC} s"
        time.sleep(POLL_SEC)
    return found
