"""Strict decoding at the edge of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, TypeVar

import msgspec
from anyio.lowlevel import checkpoint

from hotbandd.adapters.store.backend import Backend, Scored
from hotbandd.core.documents import Document
from hotbandd.errors import CorruptPayloadError
from hotbandd.ports import Lease

T = TypeVar("T")

CHUNK = 1000  # members written or read at a time: a few ms of the event loop

# What msgspec raises for bytes that are not the JSON it expects: its own errors and invalid UTF-8 are ValueErrors.
_UNDECODABLE = (ValueError, RecursionError)


def decode(key: str, raw: bytes | None, kind: type[T]) -> T | None:
    """Decode the document at a key; None where there is none. Raises CorruptPayloadError."""
    if raw is None:
        return None
    if issubclass(kind, Document) and b'"schema":' not in raw:  # with one, msgspec checks its number
        raise CorruptPayloadError(key, "it names no schema")
    try:
        return msgspec.json.decode(raw, type=kind)
    except _UNDECODABLE as error:
        raise CorruptPayloadError(key, str(error)) from error


def decode_lease(key: str, raw: bytes | None) -> Lease | None:
    """Decode ``holder:epoch``; None where there is none. Raises CorruptPayloadError."""
    if raw is None:
        return None
    holder, colon, epoch = raw.decode(errors="replace").rpartition(":")
    if not colon or not epoch.isdecimal():
        raise CorruptPayloadError(key, "expected holder:epoch")
    return Lease(holder, int(epoch))


class Members(Generic[T]):
    """Decodes members of a sorted set, whose score is a stamp inside of them."""

    def __init__(self, decoder: msgspec.json.Decoder[list[T]], stamp: Callable[[T], int]) -> None:
        self._decoder = decoder
        self._stamp = stamp

    def decode(self, members: Sequence[Scored]) -> tuple[list[T], int]:
        """Return the rows that are what they should be, in order, and how many are not."""
        rows = self._together(members)
        if rows is None:
            rows = [self._alone(member) for member, _ in members]
        stamp = self._stamp
        pairs = zip(rows, members, strict=True)
        good = [row for row, (_, score) in pairs if row is not None and stamp(row) == score]
        return good, len(members) - len(good)

    def _together(self, members: Sequence[Scored]) -> Sequence[T | None] | None:
        """Decode all members as one array, some ten times faster than one by one; None where one of them is corrupt."""
        try:
            rows = self._decoder.decode(b"[" + b",".join([member for member, _ in members]) + b"]")
        except _UNDECODABLE:
            return None
        return rows if len(rows) == len(members) else None

    def _alone(self, member: bytes) -> T | None:
        try:
            rows = self._decoder.decode(b"[" + member + b"]")
        except _UNDECODABLE:
            return None
        return rows[0] if len(rows) == 1 else None


async def pages(
    backend: Backend, key: str, members: Members[T], first: int, last: int
) -> AsyncIterator[tuple[list[T], int]]:
    """Iterate over the rows with a score in [first, last] in chunks, each with the number of its corrupt members."""
    while first <= last:
        page = await backend.range(key, first, last, CHUNK)
        yield members.decode(page)
        if len(page) < CHUNK:
            return
        await checkpoint()
        first = int(page[-1][1]) + 1
