"""The Compute port on Dask: functions run on the workers of a scheduler, on this machine or on others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, TypeVar, cast

import anyio
import anyio.to_thread
import structlog

from hotbandd.adapters.dask_compute.work import packed
from hotbandd.errors import ComputeError, ComputeUnreachableError, SettingsError
from hotbandd.ports import Where

if TYPE_CHECKING:
    from hotbandd.adapters.dask_compute.link import Link

__all__ = ["LOCAL", "DaskCompute"]

log = structlog.get_logger()

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

LOCAL: Final = "local"
ATTEMPTS: Final = 3  # of a call whose scheduler, or whose data, went away under it
IN_THE_TASK: Final = 500_000  # bytes of a call that go through the scheduler; what is more goes to a worker at once


class DaskCompute:
    """Runs functions on the workers of a scheduler at HOST:PORT, or of a cluster of its own, which the first call connects to.

    A killed worker's tasks run again elsewhere, by Dask, and what was shared with it is sent anew. Beside what a function raises,
    ``run`` raises ComputeUnreachableError where no scheduler answers, or none any more, within half a minute, and
    ComputeVersionsError where a worker runs with other versions. Without ``patience`` it raises at once while there is no connection,
    and only ``connect`` makes one.
    """

    def __init__(self, place: str, *, workers: int = 1, worker_bytes: float = 1e9, patience: bool = True) -> None:
        if find_spec("distributed") is None:
            raise SettingsError(
                "HOTBAND_COMPUTE asks for Dask, which is not installed; install it with pip install 'hotband[dask]'."
            )
        self._name = "dask:local" if place == LOCAL else f"dask://{place}"
        self._place = place
        self._patience = patience
        self._workers = workers
        self._worker_bytes = int(worker_bytes)
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None

    @property
    def where(self) -> Where:
        """Where the next call runs; a fault while the connection is lost."""
        lost = None if self._link is None else self._link.lost
        return Where(self._name, None if lost is None else f"{self._name} was lost: {lost}.")

    @property
    def width(self) -> int:
        """How many calls run side by side."""
        return self._workers if self._link is None else self._link.width

    async def connect(self) -> None:
        """Connect, unless there is a connection."""
        await self._linked(patience=True)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a module-level function on a worker."""
        return cast("T", await self._run((), function, args, kwargs))

    @asynccontextmanager
    async def share(self, value: S) -> AsyncIterator[_Shared[S]]:
        """Send a value to a worker once, at the first call that needs it; the workers pass it on among themselves."""
        parcel = _Parcel(packed(value))
        try:
            yield _Shared(self, parcel)
        finally:
            parcel.release()

    async def aclose(self) -> None:
        """Leave the scheduler, or end the cluster of one's own."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._link is not None:
            await self._link.aclose()

    async def _run(
        self, shared: Sequence[_Parcel], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        content = packed((function, args, kwargs))
        call = _Parcel(content) if len(content) > IN_THE_TASK else content
        try:
            return await self._tried(call, shared, function.__name__)
        finally:
            if isinstance(call, _Parcel):
                call.release()

    async def _tried(self, call: bytes | _Parcel, shared: Sequence[_Parcel], label: str) -> Any:
        why = ""
        for _ in range(ATTEMPTS):
            link = await self._linked(patience=self._patience)
            module = _module()
            there: dict[_Parcel, Any] = {}
            try:
                for parcel in (*shared, *([call] if isinstance(call, _Parcel) else ())):
                    there[parcel] = await parcel.on(link)
                sent = there[call] if isinstance(call, _Parcel) else call
                return await link.call(sent, [there[parcel] for parcel in shared], label)
            except module.LinkLostError:
                why = f"the scheduler was lost: {link.lost}"
            except module.DataLostError:
                why = "the workers that held the data died"
                for parcel, future in there.items():
                    parcel.forget(future)
            log.warning("compute.again", function=label, why=why)
        raise ComputeError(f"Dask failed {ATTEMPTS} times at {label}, last because {why}; look at its log.")

    async def _linked(self, *, patience: bool) -> Link:
        """Return the connection; a lost one is replaced once for all who wait."""
        if self._link is None or self._link.lost is not None:
            if not patience:
                raise ComputeUnreachableError(self.where.fault or f"There is no connection to {self._name}.")
            if self._opening is None:
                self._opening = asyncio.create_task(self._open())
                self._opening.add_done_callback(self._opened)
            return await asyncio.shield(self._opening)
        return self._link

    async def _open(self) -> Link:
        module = await anyio.to_thread.run_sync(_module)
        local = module.Local(self._workers, self._worker_bytes)
        found: Link = await module.opened(local if self._place == LOCAL else self._place)
        if self._link is not None:
            await self._link.aclose()
        self._link = found
        return found

    def _opened(self, task: asyncio.Task[Link]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # whoever waited has seen it


class _Parcel:
    """Bytes that are sent once, and once more for each time that they were lost."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._link: Link | None = None
        self._future: Any = None
        self._sending = anyio.Lock()

    async def on(self, link: Link) -> Any:
        """Return what stands for the bytes on a link."""
        async with self._sending:
            if self._future is None or self._link is not link:
                self._future, self._link = await link.send(self._content), link
            return self._future

    def forget(self, lost: Any) -> None:
        """Have the bytes sent anew, unless they were already."""
        if self._future is lost:
            self._future = None

    def release(self) -> None:
        """Let the workers forget the bytes."""
        if self._future is not None:
            self._future.release()
            self._future = None


class _Shared(Generic[S]):
    """The Shared port: a value on the workers."""

    def __init__(self, compute: DaskCompute, parcel: _Parcel) -> None:
        self._compute = compute
        self._parcel = parcel

    async def run(self, function: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a module-level function on the value, which comes before its arguments."""
        return cast("T", await self._compute._run((self._parcel,), function, args, kwargs))


def _module() -> Any:
    """Import what imports Dask."""
    return import_module("hotbandd.adapters.dask_compute.link")
