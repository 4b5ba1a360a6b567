"""A command in a terminal of its own, driven as a person does: keys in, a screen out."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest

from tests.processes import COMMAND, bare_environment

PATIENCE_SEC = 40.0
TAKE_OVER = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""Makes its input its controlling terminal, so that Ctrl-C and a new size reach it, and becomes the command."""
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3|4|9|10)[0-8](?:[;\d]*)m")


class Terminal:
    """A pseudo-terminal with a process in it."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int, theirs: int, columns: int, lines: int) -> None:
        self.process = process
        self.raw = b""
        self._fd = ours
        self._theirs = theirs
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def text(self) -> str:
        """Return what the screen shows."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def type(self, keys: str) -> None:
        """Type keys."""
        os.write(self._fd, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Make the window another size."""
        self._screen.resize(lines, columns)
        self._sized(columns, lines)

    def _sized(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def settings(self) -> list[object]:
        """Return the settings of the terminal, and whether who shares it is kept waiting by it, as everybody expects."""
        return [termios.tcgetattr(self._theirs), os.get_blocking(self._theirs)]

    def until(self, check: Callable[[str], object], what: str = "") -> str:
        """Wait until the screen is as a check wants it, and return it."""
        deadline = time.monotonic() + PATIENCE_SEC
        while time.monotonic() < deadline:
            if check(self.text):
                return self.text
            if not self._pump():
                break
        ended = (
            "" if self.process.poll() is None else f" before the end ({self.process.returncode}): {self.raw[-1500:]!r}"
        )
        pytest.fail(f"the screen did not come to {what or check}{ended}:\n{self.text}")

    def shows(self, *texts: str) -> str:
        """Wait until the screen shows all of some texts."""
        return self.until(lambda screen: all(text in screen for text in texts), f"show {texts}")

    def ended(self) -> int:
        """Wait for the end, and return the exit code."""
        deadline = time.monotonic() + PATIENCE_SEC
        while self.process.poll() is None and time.monotonic() < deadline:
            self._pump()
        while self._pump():
            pass
        assert self.process.returncode is not None, self.text
        return self.process.returncode

    def _pump(self) -> bool:
        """Take in what the process wrote within a tenth of a second; False where nothing comes any more."""
        ready, _, _ = select.select([self._fd], [], [], 0.1)
        if not ready:
            return self.process.poll() is None
        try:
            data = os.read(self._fd, 65_536)
        except OSError:
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)


@contextmanager
def terminal(home: Path, *words: str, columns: int = 80, lines: int = 24, **settings: str) -> Iterator[Terminal]:
    """Run a command in a terminal."""
    environment = {**bare_environment(home, settings), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_OVER, *COMMAND, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=home,
        env=environment,
        start_new_session=True,
    )
    opened = Terminal(process, ours, theirs, columns, lines)
    try:
        yield opened
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
