"""hotbandd as a person runs it: a process of its own, with nothing of ours in its environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

COMMAND = (sys.executable, "-m", "hotbandd")
PATIENCE_SEC = 40.0
POLL_SEC = 0.05


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def bare_environment(home: Path, settings: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(home), "HOTBAND_HOME": str(home), **settings}


def hotbandd(home: Path, *words: str, stdin: bytes = b"", **settings: str) -> Ended:
    """Run a command to its end."""
    environment = bare_environment(home, settings)
    done = subprocess.run(
        [*COMMAND, *words], input=stdin, capture_output=True, cwd=home, env=environment, timeout=60, check=False
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


class Daemon:
    """A process that runs for long, its log, and its pages."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def stderr(self) -> str:
        """Return all that it has logged."""
        return self._log.read_text()

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the events of the log, or those of one name."""
        whole = self.stderr.rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in whole if line.startswith("{")]
        return [event for event in found if name in {None, event["event"]}]

    def event(self, name: str, number: int = 1) -> dict[str, Any]:
        """Wait for an event, the first of its name or a later one."""
        return self.until(lambda: self.events(name)[number - 1 : number], name)[0]

    def get(self, path: str) -> tuple[int, Any]:
        """Ask one of its pages."""
        url = self.event("daemon.started")["http"] + path
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)

    def ready(self) -> None:
        """Wait until it is ready."""
        self.until(lambda: self.get("/readyz")[0] == 200, "/readyz with 200")

    def until(self, check: Callable[[], Any], what: str) -> Any:
        """Wait until something holds, and return it; fail once the process ends or time is up."""
        deadline = time.monotonic() + PATIENCE_SEC
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                if found := check():
                    return found
            if ended:
                break
            time.sleep(POLL_SEC)
        pytest.fail(f"{what} did not come within {PATIENCE_SEC} s, or before the end:\n{self.stderr}")

    def family(self) -> set[int]:
        """Return the processes that descend from it, itself included."""
        return descendants(self.process.pid)

    def kill_all(self) -> None:
        """Kill it and all that descend from it."""
        left = self.family()
        self.process.kill()
        self.process.wait()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self, number: signal.Signals) -> float:
        """Send a signal, wait for the end, and return how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - began


@contextmanager
def running(
    home: Path, *words: str, log: str = "stderr.log", module: str = "hotbandd", **settings: str
) -> Iterator[Daemon]:
    """Run a daemon (``hotbandd run``, unless other words are given) on a free port; whatever comes, nothing of it stays.

    ``module``: of the tests, which runs one in its own way.
    """
    path = home / log
    environment = bare_environment(home, {"HOTBAND_HTTP": "127.0.0.1:0", "LOG_FORMAT": "json", **settings})
    with path.open("wb") as err:
        command = [sys.executable, "-m", module, *(words or ("run",))]
        process = subprocess.Popen(command, stdout=err, stderr=err, cwd=home, env=environment)
    daemon = Daemon(process, path)
    try:
        yield daemon
    finally:
        daemon.kill_all()


def descendants(root: int) -> set[int]:
    """Return a process and all that descend from it; zombies do not count."""
    parents = {pid: stat[1] for pid in _pids() if (stat := _stat(pid)) is not None}
    found = {root} & parents.keys()
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def gone(pids: set[int], within_sec: float = 2.0) -> None:
    """Wait until none of some processes runs; zombies do not."""
    deadline = time.monotonic() + within_sec
    while left := {pid: command_line(pid) for pid in pids if _stat(pid) is not None}:
        if time.monotonic() > deadline:
            pytest.fail(f"after {within_sec} s there still run {left}")
        time.sleep(POLL_SEC)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def parent(pid: int) -> int | None:
    """Return the parent of a process that runs."""
    stat = _stat(pid)
    return None if stat is None else stat[1]


def _stat(pid: int) -> tuple[str, int] | None:
    """Return state and parent of a process that runs."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = text.rpartition(")")[2].split()[:2]
    return None if state in "ZX" else (state, int(parent))


def command_line(pid: int) -> str:
    """Return the words that a process was started with."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return "just ended"
