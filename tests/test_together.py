"""Several calls at once: in their order, bounded, and with one error as it is."""

from __future__ import annotations

import anyio
import pytest

from hotbandd.errors import StoreUnreachableError
from hotbandd.together import together


async def test_all_is_done_in_order_and_never_more_at_once_than_asked():
    begun, running, most = [], 0, 0

    async def one(item: int) -> None:
        nonlocal running, most
        begun.append(item)
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1

    await together(range(10), one, at_once=3)
    assert begun == list(range(10))
    assert most == 3


async def test_after_an_error_nothing_is_begun_and_what_has_begun_ends():
    begun, ended = [], []

    async def one(item: int) -> None:
        begun.append(item)
        await anyio.lowlevel.checkpoint()
        if item == 1:
            raise StoreUnreachableError("away")
        await anyio.lowlevel.checkpoint()
        ended.append(item)

    with pytest.raises(StoreUnreachableError, match="away"):
        await together(range(10), one, at_once=2)
    assert begun == [0, 1]
    assert ended == [0]
