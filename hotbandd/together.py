"""Several calls of the store at once: with many instruments, waiting for one answer after the other is most of a step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from hotbandd.errors import HotbandError

T = TypeVar("T")

AT_ONCE = 4  # half of the store's connections: another loop may need some


async def together(items: Iterable[T], one: Callable[[T], Awaitable[None]], at_once: int = AT_ONCE) -> None:
    """Do something for each item, begun in their order, so many at once.

    After an error nothing more is begun; what has begun ends, and the first error is raised as it is.
    """
    waiting, faults = iter(items), list[HotbandError]()

    async def work() -> None:
        for item in waiting:
            try:
                await one(item)
            except HotbandError as error:
                faults.append(error)
            if faults:
                return

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(work)
    if faults:
        raise faults[0]
