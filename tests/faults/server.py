"""A Valkey server of a test's own, with every illness that one can have."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from hotbandd.adapters.embedded_valkey import _LAUNCH, _binary

PATIENCE_SEC = 20.0
POLL_SEC = 0.005


class Server:
    """A server that appends every write to its file, and would save as well; ``client`` is its administrator."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "valkey.sock"
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self.client = Redis(unix_socket_path=str(self.socket), socket_timeout=5)
        self._copy = folder / "copy"
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self, **options: str) -> None:
        """Start the process, and wait until it serves."""
        given = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.data),
            "appendonly": "yes",
            "save": "3600 1000000",
            "loading-process-events-interval-bytes": "1024",
            **options,
        }
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), _binary()]
        with self._log.open("ab") as log:
            # restore_signals would let a write beyond RLIMIT_FSIZE kill the server; a full disk does not either
            self._process = subprocess.Popen([*launch, *words], stdout=log, restore_signals=False)

    def serving(self) -> None:
        """Wait until it answers."""
        self.until(self._answers)

    def _answers(self) -> bool:
        try:
            self.client.get("hotband:leader")
        except RedisError:
            return False
        return True

    def until(self, check: Any) -> None:
        deadline = time.monotonic() + PATIENCE_SEC
        while not check():
            assert time.monotonic() < deadline, f"the server does not do what it should: {self._log.read_text()[-500:]}"
            time.sleep(POLL_SEC)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Remove all data of a killed server."""
        shutil.rmtree(self.data)
        self.data.mkdir()

    def copy(self) -> None:
        """Copy the data as they are now."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.data, self._copy)

    def older(self) -> None:
        """Put the copy in the place of a killed server's data."""
        shutil.rmtree(self.data)
        self._copy.rename(self.data)

    def no_room(self) -> None:
        """Refuse every further byte in a file, as a full disk does, whoever runs the server."""
        size = max(path.stat().st_size for path in self.data.rglob("*.aof"))
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, hard))

    def room(self) -> None:
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def unsaved(self) -> None:
        """Let a save fail, whoever runs the server: a folder with something in it stands where its file is to go."""
        (self.data / "dump.rdb").unlink(missing_ok=True)
        (self.data / "dump.rdb" / "in the way").mkdir(parents=True)
        self._save("err")

    def saved(self) -> None:
        shutil.rmtree(self.data / "dump.rdb")
        self._save("ok")

    def _save(self, outcome: str) -> None:
        self.until(lambda: not self.client.info("persistence")["rdb_bgsave_in_progress"])
        self.client.bgsave()
        self.until(lambda: self.client.info("persistence")["rdb_last_bgsave_status"] == outcome)


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """Run a server; whatever comes, it does not outlive the block."""
    made = Server(folder)
    made.start()
    try:
        made.serving()
        yield made
    finally:
        made.kill()
        made.client.close()
