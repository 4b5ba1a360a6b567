"""Where kernels run: a pool of worker processes, or the process itself."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import anyio
import anyio.to_thread
import structlog

from hotbandd.errors import ComputeError
from hotbandd.ports import Compute, Where

log = structlog.get_logger()

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

PRELOAD = ["hotbandd.core.manifold", "hotbandd.core.backtest"]
GRACE_SEC = 1.0
FORKER_SEC = (0.05, 0.2, 0.5, 1.0)  # pauses while no worker can be started
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class _Held(Generic[S]):
    """The Shared port for a compute to which a value goes with every call."""

    def __init__(self, compute: Compute, value: S) -> None:
        self._compute = compute
        self._value = value

    async def run(self, function: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the value."""
        return await self._compute.run(function, self._value, *args, **kwargs)


class InlineCompute:
    """Runs functions where they are called: for replay and for one-shot commands."""

    where = Where("inline", None)
    width = 1

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function."""
        return function(*args, **kwargs)

    @asynccontextmanager
    async def share(self, value: S) -> AsyncIterator[_Held[S]]:
        """Hold a value ready."""
        yield _Held(self, value)

    async def aclose(self) -> None:
        """Nothing to stop."""


class _Pool:
    """A pool, the number of calls that wait for it, and whether another one has taken its place."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self.executor = executor
        self.calls = 0
        self.retired = False


class ProcessCompute:
    """A pool of worker processes from a fork server; a broken pool is replaced, and its task tried once more.

    A pool one of whose workers holds more than ``worker_bytes`` after a task is replaced too, and ends with its last task.
    ``on_restart`` is called for each replacement.
    """

    where = Where("process", None)

    def __init__(
        self, workers: int, on_restart: Callable[[], None] = lambda: None, *, worker_bytes: float = math.inf
    ) -> None:
        self.width = workers
        self._worker_bytes = worker_bytes
        self._on_restart = on_restart
        self._ending: set[asyncio.Task[None]] = set()
        for name in ONE_THREAD:  # the workers inherit it; two BLAS pools on the same cores slow each other down
            os.environ.setdefault(name, "1")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._pool = self._new_pool()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a module-level function in a worker."""
        call = partial(_measured, partial(function, *args, **kwargs))
        for _ in range(2):
            pool = self._pool
            pool.calls += 1
            try:
                # Submitting may start a worker, which takes long enough to be noticed on the event loop. Shielded, because a
                # future that was cancelled here is one that the pool cannot settle when a worker dies.
                submitted = await self._submit(pool, call)
                result, held = await asyncio.shield(asyncio.wrap_future(submitted))
            except BrokenProcessPool:
                self._replace(pool)
            else:
                if held > self._worker_bytes:
                    self._recycle(pool, held)
                return result
            finally:
                pool.calls -= 1
                if pool.retired and not pool.calls:
                    self._end(pool, GRACE_SEC)
        raise ComputeError(
            f"The worker died twice at {function.__name__}; look for memory that ran out, then restart hotbandd."
        )

    @asynccontextmanager
    async def share(self, value: S) -> AsyncIterator[_Held[S]]:
        """Hold a value ready: within a machine it travels with each call, in milliseconds."""
        yield _Held(self, value)

    async def aclose(self) -> None:
        """Stop the workers; running tasks are given a second."""
        await _end(self._pool.executor, GRACE_SEC)
        await asyncio.gather(*self._ending)

    async def _submit(self, pool: _Pool, call: Callable[[], T]) -> Future[T]:
        """Submit a call; where the process that forks workers has just died, a moment later there is another one."""
        for pause in FORKER_SEC:
            try:
                return await anyio.to_thread.run_sync(pool.executor.submit, call)
            except (OSError, EOFError) as error:
                log.warning("compute.no_worker", error=str(error))
                await anyio.sleep(pause)
        raise BrokenProcessPool

    def _replace(self, broken: _Pool) -> None:
        if self._pool is broken:
            self._on_restart()
            self._pool = self._new_pool()
            self._end(broken, 0)

    def _recycle(self, grown: _Pool, held: int) -> None:
        """Have later tasks run in new workers."""
        if self._pool is grown:
            log.warning("compute.recycled", worker_bytes=held)
            self._on_restart()
            self._pool = self._new_pool()
            grown.retired = True

    def _end(self, pool: _Pool, grace_sec: float) -> None:
        """End a pool beside what goes on."""
        ending = asyncio.create_task(_end(pool.executor, grace_sec))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _new_pool(self) -> _Pool:
        return _Pool(ProcessPoolExecutor(self.width, mp_context=self._context, initializer=_begin))


def _measured(call: Callable[[], T]) -> tuple[T, int]:
    """Return what a call returns, and the resident memory of this process after it, in bytes."""
    result = call()
    if sys.platform == "linux":
        return result, int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # at most so far; in bytes on macOS


async def _end(pool: ProcessPoolExecutor, grace_sec: float) -> None:
    """End a pool and the thread that manages it: left to the interpreter's own end, that thread may close what the end still uses.

    Workers that are left after the grace are killed. One that died with the lock of the queue leaves the others waiting for it; one that
    died with a large task on its way leaves, in older releases of Python, a thread that writes to nobody, until nobody can read either.
    """
    processes = list((pool._processes or {}).values())
    queue: Any = getattr(pool, "_call_queue", None)
    shutdown = partial(pool.shutdown, wait=True, cancel_futures=True)
    # Called once: two at a time would close the same queue twice.
    ending = asyncio.create_task(anyio.to_thread.run_sync(shutdown, abandon_on_cancel=True))
    with anyio.CancelScope(shield=True):
        await asyncio.wait({ending}, timeout=grace_sec)
        if not ending.done():
            for process in processes:
                process.kill()
            await asyncio.wait({ending}, timeout=GRACE_SEC)
        if not ending.done() and queue is not None:
            queue._reader.close()
            await asyncio.wait({ending}, timeout=GRACE_SEC)
    if ending.done():
        ending.result()
    else:
        ending.cancel()


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
