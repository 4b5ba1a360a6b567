"""What a document store asks of the thing that keeps its bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeAlias

from hotbandd.adapters.store.keys import CandlePlace
from hotbandd.ports import Lease, Outcome

Scored: TypeAlias = tuple[bytes, float]
"""A member of a sorted set, and its score."""

Messages: TypeAlias = AbstractAsyncContextManager[AsyncIterator[tuple[str, bytes]]]
"""Messages as (channel, payload); nothing published after the entry is missed, or the iterator raises StoreUnreachableError."""


class SetValue(NamedTuple):
    """Set a string, to live ``life_ms`` (None: for ever)."""

    key: str
    value: bytes
    life_ms: int | None


class PutMember(NamedTuple):
    """Make a member the only one of its score."""

    key: str
    member: bytes
    score: int


class Trim(NamedTuple):
    """Remove the members whose score is below a bound."""

    key: str
    before: int


class SetHash(NamedTuple):
    """Set fields of a hash, to live ``life_ms``."""

    key: str
    fields: Mapping[str, bytes]
    life_ms: int


class Delete(NamedTuple):
    """Remove a key."""

    key: str


class Send(NamedTuple):
    """Send a message to the subscribers of a channel."""

    channel: str
    message: bytes


Command: TypeAlias = SetValue | PutMember | Trim | SetHash | Delete | Send


class Fence(NamedTuple):
    """The place of a publication in the order of its document: a lower one is fenced, an equal one a duplicate."""

    document: str
    epoch: int
    seq: int


class Publication(NamedTuple):
    """Commands that take effect together, and only while the lease is held; in a cluster one after another, the document itself at once.

    ``over`` names a key with a JSON document and a ``ts``: where that document is later, the publication is a duplicate. ``floor``:
    where fewer publications are counted, the server lost data, and fences this one. ``again``: an equal one is no duplicate.
    ``good_ms``: how long the message is worth sending. ``given``: a key and the value that it has to have still.
    """

    lease: Lease
    commands: Sequence[Command]
    fence: Fence | None = None
    over: tuple[str, int] | None = None
    floor: int = 0
    again: bool = False
    good_ms: int = 0
    given: tuple[str, bytes] | None = None


class Answer(NamedTuple):
    """What became of a publication, and how many there have been, with it."""

    outcome: Outcome
    counted: int


class Ends(NamedTuple):
    """The member of the highest score in a sorted set, and the lowest score."""

    newest: Scored
    oldest: float


class PackDay(NamedTuple):
    """Set the value of a day, and remove its members with scores in [first, last] from the sorted set.

    Only if those members, ascending, are the given ones, and the value before is ``old``.
    """

    place: CandlePlace
    day: str
    scores: tuple[int, int]
    members: Sequence[bytes]
    old: bytes | None
    value: bytes


def lease_text(lease: Lease) -> str:
    """Return a lease as it is stored."""
    return f"{lease.holder}:{lease.epoch}"


class Backend(Protocol):
    """Strings, hashes, sorted sets with integer scores, publications, a lease and messages.

    Raises StoreUnreachableError where it does not answer, CorruptPayloadError where a key is of another type.
    """

    async def ping(self) -> None:
        """Check that the backend answers."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return a string."""
        ...

    async def set(self, key: str, value: bytes, *, life_ms: int | None = None, only_if_missing: bool = False) -> None:
        """Set a string."""
        ...

    async def put(self, key: str, members: Sequence[Scored]) -> Ends:
        """Make each member, of which there is at least one, the only one of its score, at once; return where the set ends then."""
        ...

    async def trim(self, key: str, before: int) -> None:
        """Remove the members whose score is below a bound."""
        ...

    async def range(self, key: str, first: int, last: int, limit: int) -> list[Scored]:
        """Return the first members whose score lies in [first, last], ascending."""
        ...

    async def count(self, key: str, first: int, last: int) -> int:
        """Return how many members have a score in [first, last]."""
        ...

    async def newest(self, key: str, limit: int) -> list[Scored]:
        """Return the members of the highest scores, descending."""
        ...

    async def names(self, key: str) -> list[str]:
        """Return the names of the fields of a hash; what is no text is left out."""
        ...

    async def fields(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        """Return fields of a hash."""
        ...

    async def drop(self, key: str, names: Sequence[str]) -> None:
        """Remove fields of a hash."""
        ...

    async def pack(self, packed: PackDay) -> bool:
        """Pack a day at once; return whether that was done."""
        ...

    async def publish(self, publication: Publication) -> Answer:
        """Apply a publication at once or not at all; in a cluster its document, the rest before and after it."""
        ...

    async def acquire(self, holder: str, ttl_ms: int, above: int) -> bytes:
        """Take the lease where it is free or the holder's own, with a new epoch above another; return the lease in force."""
        ...

    async def renew(self, lease: Lease, ttl_ms: int, floor: int) -> bool:
        """Prolong a lease that is in force, unless fewer publications than that are counted."""
        ...

    async def release(self, lease: Lease) -> None:
        """Remove a lease that is in force."""
        ...

    def subscribe(self, channels: Sequence[str]) -> Messages:
        """Receive the messages of channels."""
        ...

    async def aclose(self) -> None:
        """Release what the backend holds."""
        ...
