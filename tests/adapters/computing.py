"""What the tests run on workers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from hotbandd.errors import CandleInputError, CorruptPayloadError


def add(left, right):
    return left + right


def fail(kind: str):
    if kind == "row":
        raise CandleInputError("row 3 of x.csv: no close")
    raise CorruptPayloadError("some:key", "not JSON")


def die_once(marker: str) -> str:
    path = Path(marker)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def environment(name: str) -> str | None:
    return os.environ.get(name)


def wait_for(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def touch(path: str) -> None:
    Path(path).touch()


def total_once_more(values, marker: str) -> float:
    """Die on the first call, then sum up."""
    die_once(marker)
    return float(values.sum())


def total_slowly(values, began: str, seconds: float) -> float:
    """Tell that it began, and sum up some time later."""
    Path(began).write_text(str(os.getpid()))
    time.sleep(seconds)
    return float(values.sum())
