"""A service manager that does as systemd would: it listens, kills who falls silent, and starts anew what ended in failure."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.processes import bare_environment, descendants

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SEC = 60.0
POLL_SEC = 0.02
RESTART_SEC = 0.1
WATCHDOG_SEC, INTERVAL_SEC = 2.0, 0.5
SERVICE = {
    "HOTBAND_SOURCE": "simulated",
    "HOTBAND_PAIRS": "EUR_USD",
    "HOTBAND_WORKERS": "1",
    "HOTBAND_PROCESSING_INTERVAL": str(INTERVAL_SEC),
    "CANDLE_HOT_DAYS": "3",
    "EVAL_INTERVAL_SEC": "2",
    "ALLOC_INTERVAL_SEC": "2",
    "DECISION_LAG_SEC": "0",
    "LEASE_TTL_SEC": "1",
}
_CREDENTIALS = struct.Struct("3i")


class Manager:
    """One service of Type=notify with a watchdog and Restart=on-failure; only its main process is heard."""

    def __init__(self, home: Path, watchdog_sec: float, settings: dict[str, str]) -> None:
        self.said: list[tuple[float, dict[str, str]]] = []
        self.kills: list[float] = []
        self.codes: list[int] = []
        self.home = home
        self._watchdog_sec = watchdog_sec
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + (name := f"hotband-{os.getpid()}-{time.monotonic_ns()}"))
        self._socket.settimeout(POLL_SEC)
        told = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": str(int(watchdog_sec * 1e6)), "PYTHONPATH": str(ROOT)}
        self._environment = bare_environment(
            home, {"HOTBAND_HTTP": "127.0.0.1:0", "LOG_FORMAT": "json", **settings, **told}
        )
        self._ended = threading.Event()
        self.process = self._start()
        self._thread = threading.Thread(target=self._manage)

    @property
    def log(self) -> str:
        """Return what the service has logged."""
        return (self.home / "stderr.log").read_text()

    def times(self, name: str, since: float = 0.0) -> list[float]:
        """Return when a line of a name was heard."""
        return [moment for moment, lines in list(self.said) if name in lines and moment >= since]

    def status(self) -> str:
        """Return the newest STATUS."""
        return next((lines["STATUS"] for _, lines in reversed(list(self.said)) if "STATUS" in lines), "")

    def until(self, check: Callable[[], object], what: str) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + PATIENCE_SEC
        while not check():
            if time.monotonic() > deadline:
                pytest.fail(f"{what} did not come within {PATIENCE_SEC} s; it said {self.said[-3:]}:\n{self.log}")
            time.sleep(POLL_SEC)

    def ready(self, since: float = 0.0) -> float:
        """Wait until the service is ready, and return since when."""
        self.until(lambda: self.times("READY", since), "READY=1")
        return self.times("READY", since)[0]

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.home / "stderr.log").open("ab") as err:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.faults.hooked", "run"],
                stdout=err,
                stderr=err,
                cwd=self.home,
                env=self._environment,
            )

    def _manage(self) -> None:
        heard: float | None = None  # the last sign of life, from readiness on
        while not self._ended.is_set():
            now = time.monotonic()
            lines = self._receive()
            if lines is not None:
                self.said.append((now, lines))
                if "READY" in lines or (heard is not None and "WATCHDOG" in lines):
                    heard = now
                if "STOPPING" in lines:
                    heard = None  # the watchdog is for who works
            if heard is not None and now - heard > self._watchdog_sec:
                self.kills.append(now)
                self.process.send_signal(signal.SIGABRT)  # as WatchdogSignal has it
                self.process.wait()
            code = self.process.poll()
            if code is not None:
                self.codes.append(code)
                heard = None
                if code == 0:
                    return
                time.sleep(RESTART_SEC)
                self.process = self._start()

    def _receive(self) -> dict[str, str] | None:
        try:
            data, extra, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(_CREDENTIALS.size))
        except TimeoutError:
            return None
        (sender, _, _), *_ = (_CREDENTIALS.unpack(found) for _, _, found in extra)
        if sender != self.process.pid:
            return None
        return dict(line.split("=", 1) for line in data.decode().split("\n"))

    @contextmanager
    def managing(self) -> Iterator[Manager]:
        """Manage; whatever comes, nothing of the service stays."""
        self._thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._thread.join()
            left = descendants(self.process.pid)
            self.process.kill()
            self.process.wait()
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._socket.close()


def service(
    home: Path, url: str, settings: dict[str, str] | None = None, *, watchdog_sec: float = WATCHDOG_SEC, **hooks: object
) -> Manager:
    """Return a manager of a small daemon whose loops step often."""
    return Manager(home, watchdog_sec, {**SERVICE, **(settings or {}), "VALKEY_URL": url, "HOOKS": json.dumps(hooks)})


def events(log: str, name: str) -> list[dict[str, Any]]:
    """Return the events of a name in a log."""
    lines = (json.loads(line) for line in log.rpartition("\n")[0].splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == name]
