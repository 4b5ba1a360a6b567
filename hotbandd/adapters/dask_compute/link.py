"""A watched connection to a scheduler. Importing this module imports Dask, which takes half a second."""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast
from uuid import uuid4

import anyio
import anyio.to_thread
import dask.config
import distributed
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker
from distributed.security import Security
from distributed.versions import VersionMismatchWarning

from hotbandd.adapters.dask_compute.work import PACKAGES, Answer, Versions, answer, unpacked, versions
from hotbandd.errors import ComputeError, ComputeUnreachableError, ComputeVersionsError, HotbandError

CONNECT_SEC: Final = 10.0
GONE_SEC: Final = 15.0  # a scheduler that says nothing for so long, or has no worker, is given up
WATCH_SEC: Final = 1.0
CLOSE_SEC: Final = 2.0  # for the client, and for workers in mid-task, which end with this process anyhow


class LinkLostError(Exception):
    """The scheduler is gone, and all that it knew with it."""


class DataLostError(Exception):
    """The worker that held what a call needs is gone."""


class Local(NamedTuple):
    """A cluster of one's own on this machine: processes of one thread each, and the memory that each may hold."""

    workers: int
    worker_bytes: int


class Link:
    """A client of a scheduler, watched; once it is lost it stays so, and every call under way with it."""

    def __init__(self, name: str, client: Any, cluster: Any) -> None:
        self.name = name
        self.width = 1
        self.lost: str | None = None
        self._client = client
        self._cluster = cluster
        self._calls: set[anyio.CancelScope] = set()
        self._left: set[asyncio.Task[Any]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def call(self, call: Any, shared: Sequence[Any], label: str) -> Any:
        """Run ``answer`` on a worker; ``call`` and ``shared`` are bytes, or what ``send`` returned.

        Raises what the function raises, ComputeError where it kills its workers, ComputeVersionsError, LinkLostError, DataLostError.
        """
        key = f"{label}-{uuid4().hex}"
        with anyio.CancelScope() as scope:
            self._calls.add(scope)
            future = self._client.submit(answer, versions(), call, *shared, key=key, pure=False)
            try:
                found: Answer = await self._apart(future)
            except Exception as error:
                raise await self._failure(error, label) from error
            finally:
                self._calls.discard(scope)
                future.release()  # whoever does not wait for it any more does not want it to run
        if scope.cancelled_caught:
            raise LinkLostError
        return self._outcome(found, label)

    async def _apart(self, waited: Awaitable[Any]) -> Any:
        """Await something of Dask's in a task of its own, which is left alone where this call is cancelled.

        The client gathers the results of several calls at once in one task; a call that is cancelled while it awaits that one takes it
        along, and with it the others, whom nobody has cancelled: their callers would take it that they were, and end in silence.
        """

        async def wait() -> Any:
            return await waited

        task = asyncio.create_task(wait())
        self._left.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait([task])
        if task.cancelled():
            raise DataLostError
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits sees it

    async def _failure(self, error: Exception, label: str) -> Exception:
        """Return what an error of Dask's comes to."""
        if self._client.status != "running":
            self._lose("the connection broke")
            return LinkLostError()
        if isinstance(error, FutureCancelledError | DataLostError):
            return DataLostError()
        if isinstance(error, KilledWorker):
            return ComputeError(
                f"The workers died one after the other at {label}; look for memory that ran out, then try again."
            )
        await self.check()  # a worker without hotband cannot even tell its versions
        return ComputeError(f"Dask failed at {label} with {type(error).__name__}: {error}")

    def _outcome(self, found: Answer, label: str) -> Any:
        if found.kind == "value":
            return unpacked(found.content)
        if found.kind == "error":
            raise unpacked(found.content)
        if found.kind == "other":
            raise _refusal("A worker", unpacked(found.content), versions())
        raise ComputeError(
            f"A worker cannot read what it is to run for {label} ({unpacked(found.content)}); install the same packages there as here."
        )

    async def send(self, content: bytes) -> Any:
        """Put bytes onto a worker, for calls to name. Raises as ``call``."""
        with anyio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                found = await self._apart(self._client.scatter(content, hash=False, timeout=GONE_SEC))
            except Exception as error:
                raise await self._failure(error, "sending data") from error
            finally:
                self._calls.discard(scope)
        if scope.cancelled_caught:
            raise LinkLostError
        return found

    async def check(self) -> None:
        """Raise ComputeVersionsError where the scheduler or a worker runs with other versions than this process."""
        found = await self._client.get_versions(packages=PACKAGES)
        ours = _shown(found["client"])
        for place, theirs in {"The scheduler": found["scheduler"], **found["workers"]}.items():
            said = _shown(theirs)
            if said != ours:
                raise _refusal(place if place == "The scheduler" else f"The worker at {place}", said, ours)

    async def watch(self) -> None:
        """Lose the link once the scheduler is silent, or without a worker, for too long; raise what makes it useless from the start."""
        deadline = time.monotonic() + CONNECT_SEC
        while not await self._look():
            if time.monotonic() > deadline:
                raise ComputeUnreachableError(self._workerless())
            await anyio.sleep(WATCH_SEC / 10)
        await self.check()
        self._watching = asyncio.create_task(self._watch())

    async def _look(self) -> bool:
        """Ask the scheduler for its workers; tell whether there are any."""
        identity = await self._client.scheduler.identity(n_workers=0)
        self.width = max(1, int(identity["total_threads"]))
        return bool(identity["n_workers"])

    async def _watch(self) -> None:
        staffed = time.monotonic()
        while self.lost is None:
            try:
                with anyio.fail_after(GONE_SEC):
                    if self._client.status == "running" and await self._look():
                        staffed = time.monotonic()
            except TimeoutError:
                self._lose(f"nothing was heard of it for {GONE_SEC:g} s")
            except Exception as error:  # noqa: BLE001  whatever it is, nobody would look after the link any more
                self._lose(f"the connection broke ({error})")
            if self._client.status != "running":
                self._lose("the connection broke")
            if time.monotonic() - staffed > GONE_SEC:
                self._lose("no worker is left")
            await anyio.sleep(WATCH_SEC)

    def _lose(self, why: str) -> None:
        if self.lost is None:
            self.lost = why
            for scope in list(self._calls):
                scope.cancel()
            self._closing = asyncio.create_task(self._end())

    def _workerless(self) -> str:
        return f"The Dask scheduler at {self.name} has no worker; start one with: dask worker {self.name}"

    async def aclose(self) -> None:
        """Close the connection, and the cluster of one's own."""
        self.lost = self.lost or "it was closed"
        if self._watching is not None:
            self._watching.cancel()
        await (self._closing or self._end())

    async def _end(self) -> None:
        for one in (self._client, self._cluster):
            if one is not None:
                with anyio.move_on_after(CLOSE_SEC, shield=True), suppress(OSError, TimeoutError):
                    await one.close()


async def opened(place: str | Local) -> Link:
    """Connect to HOST:PORT, or start a cluster, and begin to watch it.

    Raises ComputeUnreachableError within some CONNECT_SEC where nobody answers, ComputeVersionsError where another version does.
    """
    _quiet()
    cluster = await _cluster(place) if isinstance(place, Local) else None
    name = "this machine" if isinstance(place, Local) else place
    client = distributed.Client(  # type: ignore[no-untyped-call]
        place if cluster is None else cluster,
        asynchronous=True,
        timeout=CONNECT_SEC,
        set_as_default=False,
        name="hotband",
    )
    link = Link(name, client, cluster)
    try:
        with anyio.fail_after(2 * CONNECT_SEC):
            await client
            await link.watch()
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await link.aclose()
        if not isinstance(error, Exception) or isinstance(error, HotbandError):
            raise
        raise ComputeUnreachableError(
            f"No Dask scheduler answers at {name} ({type(error).__name__}); start one with dask scheduler, or set "
            f"HOTBAND_COMPUTE=process."
        ) from error
    return link


async def _cluster(local: Local) -> Any:
    """Start a cluster that nobody else on this machine gets into.

    Its sockets ask for certificates that are made for it; its pages, which cannot be turned off, show nothing.
    """
    with dask.config.set({f"distributed.{who}.http.routes": [] for who in ("scheduler", "worker")}):
        return await distributed.LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=local.workers,
            threads_per_worker=1,
            memory_limit=local.worker_bytes,
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            protocol="tls://",
            security=await anyio.to_thread.run_sync(Security.temporary),
            silence_logs=logging.ERROR,
            asynchronous=True,
        )


def _quiet() -> None:
    """Have Dask's messages written as ours are, and none of its warnings about what is checked here."""
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)
    for name in ("distributed", "distributed.client", "tornado", "tornado.application"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.CRITICAL)  # what is lost and found again is told under names of ours


def _shown(found: Any) -> Versions:
    packages = cast("dict[str, str | None]", found["packages"])
    return {name: packages.get(name) or "none" for name in ("python", *PACKAGES)}


def _refusal(who: str, theirs: Versions, ours: Versions) -> ComputeVersionsError:
    differing = [name for name in ours if theirs.get(name) != ours[name]]
    there = ", ".join(f"{name} {theirs.get(name, 'none')}" for name in differing)
    here = ", ".join(f"{name} {ours[name]}" for name in differing)
    return ComputeVersionsError(
        f"{who} runs with {there}, this process with {here}; results would differ: install the same there."
    )
