"""The event loop of a whole daemon is never held up: nothing in it blocks, nothing in it computes for long."""

from __future__ import annotations

import gc
import io
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
import structlog
from blockbuster import blockbuster_ctx

from hotbandd import daemon
from hotbandd.adapters import log
from hotbandd.adapters.clock import SteadyClock
from hotbandd.adapters.simulator import DEMO_START_MS
from hotbandd.settings import load
from tests.valkey import eventually

LONGEST_SEC = 0.05
BEAT_SEC = 0.005
MAY_BLOCK = (
    ("redis/utils.py", "get_lib_version"),  # for every new connection, to tell the server: a fraction of a millisecond
    ("hotbandd/core/market_hours.py", "_daily"),  # a time zone's file, read once
)


class Pulse:
    """How much the thread of the event loop computes between two beats, and where it was meanwhile.

    Its processor time counts, not the clock's: on a machine that is shared, a thread that may not run blocks nobody.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.place = ""
        self._thread = threading.get_ident()
        self._beat = time.monotonic()
        self._seen = ""
        self._ended = threading.Event()

    async def run(self) -> None:
        while True:
            before = time.thread_time()
            self._seen, self._beat = "", time.monotonic()
            await anyio.sleep(BEAT_SEC)
            used = time.thread_time() - before
            if used > self.longest:
                self.longest, self.place = used, self._seen

    def watch(self) -> None:
        """Note where the event loop is, whenever its beat is late."""
        while not self._ended.wait(BEAT_SEC):
            if time.monotonic() - self._beat > LONGEST_SEC / 2:
                self._seen = "".join(traceback.format_stack(sys._current_frames()[self._thread])[-6:])

    @contextmanager
    def watched(self) -> Iterator[None]:
        watcher = threading.Thread(target=self.watch)
        watcher.start()
        try:
            yield
        finally:
            self._ended.set()
            watcher.join()


@pytest.fixture
def _settled_heap() -> Iterator[None]:
    """Keep what the test session holds out of the daemon's garbage collections."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def _logs_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers, root.level, logging.raiseExceptions = before, level, raising
    structlog.reset_defaults()


@pytest.mark.usefixtures("_settled_heap", "_logs_as_before")
async def test_nothing_holds_the_event_loop_up_for_50_ms(tmp_path):
    settings = load(
        {
            "HOTBAND_HOME": str(tmp_path),
            "HOTBAND_SOURCE": "simulated",
            "HOTBAND_HTTP": "127.0.0.1:0",
            "HOTBAND_WORKERS": "1",
            "CANDLE_HOT_DAYS": "35",
            "EVAL_INTERVAL_SEC": "300",
            "ALLOC_INTERVAL_SEC": "300",
        },
        None,
    ).settings
    clock = SteadyClock(speed=60, anchor_virtual=DEMO_START_MS)
    pulse = Pulse()
    slots: set[int] = set()

    async def evaluated_twice(running: daemon.Running) -> bool:
        blob = await running.store.gates_blob()
        if blob is not None:
            slots.add(blob.ts)
        return len(slots) >= 3

    async def ready(running: daemon.Running) -> None:
        # From here on, with every loop still to take its first step; what is done once before that may block.
        with blockbuster_ctx(["hotbandd", "kernels"]) as blocking:
            for function in blocking.functions.values():
                for file, name in MAY_BLOCK:
                    function.can_block_in(file, name)
            async with anyio.create_task_group() as beside:
                beside.start_soon(pulse.run)
                await eventually(lambda: evaluated_twice(running), 60)
                beside.cancel_scope.cancel()

    told = io.StringIO()
    log.configure("warning", "json", interactive=False, stream=told)
    with pulse.watched():
        await daemon.run(daemon.Plan(settings, clock, ready=ready))
    assert "loop.failed" not in told.getvalue(), told.getvalue()  # a call that blocks is an error of its loop
    assert pulse.longest < LONGEST_SEC, pulse.place
