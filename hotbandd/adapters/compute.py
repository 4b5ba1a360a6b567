"""Where kernels run: a pool of worker processes, or the process itself."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

from hotbandd.errors import ComputeError

P = ParamSpec("P")
T = TypeVar("T")

PRELOAD = ["hotbandd.core.manifold", "hotbandd.core.backtest"]
GRACE_SEC = 2.0
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class InlineCompute:
    """Runs functions where they are called: for replay and for one-shot commands."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function."""
        return function(*args, **kwargs)

    async def aclose(self) -> None:
        """Nothing to stop."""


class ProcessCompute:
    """A pool of worker processes from a fork server; a broken pool is replaced, and its task tried once more.

    ``on_restart`` is called for each replacement.
    """

    def __init__(self, workers: int, on_restart: Callable[[], None] = lambda: None) -> None:
        self._workers = workers
        self._on_restart = on_restart
        for name in ONE_THREAD:  # the workers inherit it; two BLAS pools on the same cores slow each other down
            os.environ.setdefault(name, "1")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._pool = self._new_pool()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a module-level function in a worker."""
        call = partial(function, *args, **kwargs)
        for _ in range(2):
            pool = self._pool
            try:
                # Submitting may start a worker, which takes long enough to be noticed on the event loop. Shielded, because a
                # future that was cancelled here is one that the pool cannot settle when a worker dies.
                submitted = await anyio.to_thread.run_sync(pool.submit, call)
                return await asyncio.shield(asyncio.wrap_future(submitted))
            except BrokenProcessPool:
                await self._replace(pool)
        raise ComputeError(
            f"The worker died twice at {function.__name__}; look for memory that ran out, then restart hotbandd."
        )

    async def aclose(self) -> None:
        """Stop the workers; running tasks are given two seconds."""
        await _end(self._pool, GRACE_SEC)

    async def _replace(self, broken: ProcessPoolExecutor) -> None:
        if self._pool is not broken:
            return
        self._on_restart()
        self._pool = self._new_pool()
        await _end(broken, 0)

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, mp_context=self._context, initializer=_begin)


async def _end(pool: ProcessPoolExecutor, grace_sec: float) -> None:
    """End a pool and the thread that manages it: left to the interpreter's own end, that thread may close what the end still uses.

    Workers that are left after the grace are killed. One that died with the lock of the queue leaves the others waiting for it.
    """
    processes = list((pool._processes or {}).values())
    shutdown = partial(pool.shutdown, wait=True, cancel_futures=True)
    with anyio.move_on_after(grace_sec, shield=True):
        await anyio.to_thread.run_sync(shutdown, abandon_on_cancel=True)
        return
    for process in processes:
        process.kill()
    with anyio.move_on_after(GRACE_SEC, shield=True):
        await anyio.to_thread.run_sync(shutdown, abandon_on_cancel=True)


def _begin() -> None:
    """Prepare a worker: signals are the daemon's business, and a worker ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
