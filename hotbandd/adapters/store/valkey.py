"""The store in Valkey, through redis-py."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import anyio
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError

from hotbandd.adapters.store import connections, keys, scripts, tls
from hotbandd.adapters.store.backend import (
    Answer,
    Command,
    Delete,
    Ends,
    Messages,
    PackDay,
    Publication,
    PutMember,
    Scored,
    Send,
    SetHash,
    SetValue,
    Trim,
    lease_text,
)
from hotbandd.adapters.store.failures import CAUGHT, translated
from hotbandd.adapters.store.subscription import subscription
from hotbandd.ports import Lease, Outcome
from hotbandd.settings import valkey_url

DEADLINE_SEC = 5.0  # one call with its retries
CLOSE_SEC = 1.0

Word: TypeAlias = str | bytes | int
Steps: TypeAlias = Sequence[Sequence[Sequence[Word]]]
"""Commands as words, the key behind the name; those of a step may take effect in any order, but for those of one key."""


class ValkeyBackend:
    """A pool of connections to one server, or to the primary of some Sentinels. Calls are repeated when a connection fails, so each is idempotent."""

    def __init__(self, url: str, client: Redis | None = None) -> None:
        self.place = connections.place(url)
        self._url = url
        tls.check_files(url)
        self.client = client or connections.pooled(url)
        self._put = self.client.register_script(scripts.PUT)
        self._pack = self.client.register_script(scripts.PACK)
        self._publish = self.client.register_script(scripts.PUBLISH)
        self._apply = self.client.register_script(scripts.APPLY)
        self._acquire = self.client.register_script(scripts.ACQUIRE)
        self._renew = self.client.register_script(scripts.RENEW)
        self._release = self.client.register_script(scripts.RELEASE)

    async def ask(self, key: str, call: Awaitable[Any]) -> Any:
        """Await a call under a deadline and translate what it raises."""
        try:
            with anyio.fail_after(DEADLINE_SEC):
                return await call
        except ReadOnlyError as error:
            await self.demoted()
            raise translated(error, self.place, key) from error
        except CAUGHT as error:
            raise translated(error, self.place, key) from error

    async def demoted(self) -> None:
        """Close what leads to a server that became a replica: new connections find the primary."""
        await self.client.connection_pool.disconnect(inuse_connections=False)

    async def ping(self) -> None:
        """Check that the server answers."""
        await self.ask("", self.client.ping())

    async def infos(self) -> list[Mapping[str, Any]]:
        """Return what each server that serves says of itself."""
        return [await self.ask("", self.client.info())]

    async def layout(self) -> tuple[str, str | None]:
        """Return what there is besides one server, and what is wrong with that."""
        if valkey_url.layout(self._url) != "sentinel":
            return "", None
        found = valkey_url.several(self._url)
        return f"primary {found.master} of {len(found.nodes)} Sentinels", None

    async def aclose(self) -> None:
        """Close the pool."""
        with anyio.move_on_after(CLOSE_SEC, shield=True):
            await self.client.aclose()

    async def get(self, key: str) -> bytes | None:
        """Return a string."""
        value: bytes | None = await self.ask(key, self.client.get(key))
        return value

    async def get_all(self, names: Sequence[str]) -> list[bytes | None]:
        """Return strings."""
        values: list[bytes | None] = await self.ask(names[0], self.client.mget(names))
        return values

    async def write(self, steps: Steps) -> None:
        """Run commands together."""
        pipeline = self.client.pipeline(transaction=True)
        words = [words for step in steps for words in step]
        for command in words:
            pipeline.execute_command(*command)
        await self.ask(str(words[0][1]), pipeline.execute())

    async def set(self, key: str, value: bytes, *, life_ms: int | None = None, only_if_missing: bool = False) -> None:
        """Set a string."""
        await self.ask(key, self.client.set(key, value, px=life_ms, nx=only_if_missing))

    async def put(self, key: str, members: Sequence[Scored]) -> Ends:
        """Make each member the only one of its score, at once; return where the set ends then."""
        lines = b"".join(member + b"\n" for member, _ in members), "".join(f"{int(at)}\n" for _, at in members)
        newest, score, oldest = await self.ask(key, self._put([key], lines))
        return Ends((newest, float(score)), float(oldest))

    async def trim(self, key: str, before: int) -> None:
        """Remove the members whose score is below a bound."""
        await self.ask(key, self.client.zremrangebyscore(key, "-inf", f"({before}"))

    async def range(self, key: str, first: int, last: int, limit: int) -> list[Scored]:
        """Return the first members whose score lies in [first, last], ascending."""
        call = self.client.zrangebyscore(key, first, last, start=0, num=limit, withscores=True)
        members: list[Scored] = await self.ask(key, call)
        return members

    async def count(self, key: str, first: int, last: int) -> int:
        """Return how many members have a score in [first, last]."""
        count: int = await self.ask(key, self.client.zcount(key, first, last))
        return count

    async def newest(self, key: str, limit: int) -> list[Scored]:
        """Return the members of the highest scores, descending."""
        members: list[Scored] = await self.ask(key, self.client.zrevrange(key, 0, limit - 1, withscores=True))
        return members

    async def names(self, key: str) -> list[str]:
        """Return the names of the fields of a hash; what is no text is left out."""
        found: list[bytes] = await self.ask(key, self.client.hkeys(key))
        return [name.decode() for name in found if name.isascii()]

    async def fields(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        """Return fields of a hash."""
        found: list[bytes | None] = await self.ask(key, self.client.hmget(key, list(names)))
        return found

    async def drop(self, key: str, names: Sequence[str]) -> None:
        """Remove fields of a hash."""
        await self.ask(key, self.client.hdel(key, *names))

    async def pack(self, packed: PackDay) -> bool:
        """Pack a day at once; return whether that was done."""
        place, day, (first, last), members, old, value = packed
        seen, before = _sha1(b"\n".join(members)), "" if old is None else _sha1(old)
        call = self._pack([place.recent, place.packed], [day, first, last, seen, before, value])
        return bool(await self.ask(place.packed, call))

    async def publish(self, publication: Publication) -> Answer:
        """Apply a publication at once or not at all."""
        lease, commands, fence, over, floor, again, _, given = publication
        fence_key = keys.fence(fence.document) if fence else ""
        words: list[Word] = [lease_text(lease), fence_key]
        words += (fence.epoch, fence.seq) if fence else ("", "")
        words.append("again" if again else "")
        words += over or ("", "")
        words += given or ("", "")
        words += [floor, *counted(commands)]
        named = [fence_key, over[0] if over else "", given[0] if given else ""]
        declared = [keys.LEADER, keys.COUNT, *filter(None, named), *touched(commands)]
        outcome, count = await self.ask(keys.LEADER, self._publish(declared, words))
        return Answer(Outcome(outcome.decode()), count)

    async def apply(self, commands: Sequence[Command]) -> None:
        """Apply idempotent commands together, whoever leads."""
        names = touched(commands)
        await self.ask(names[0], self._apply(names, counted(commands)))

    async def acquire(self, holder: str, ttl_ms: int, above: int) -> bytes:
        """Take the lease where it is free or the holder's own, with a new epoch above another; return the lease in force."""
        call = self._acquire([keys.LEADER, keys.EPOCH], [holder, ttl_ms, above])
        reply: bytes = await self.ask(keys.LEADER, call)
        return reply

    async def renew(self, lease: Lease, ttl_ms: int, floor: int) -> bool:
        """Prolong a lease that is in force, unless fewer publications than that are counted."""
        call = self._renew([keys.LEADER, keys.EPOCH, keys.COUNT], [lease_text(lease), ttl_ms, floor])
        return bool(await self.ask(keys.LEADER, call))

    async def release(self, lease: Lease) -> None:
        """Remove a lease that is in force."""
        await self.ask(keys.LEADER, self._release([keys.LEADER], [lease_text(lease)]))

    def subscribe(self, channels: Sequence[str]) -> Messages:
        """Receive the messages of channels."""
        return subscription(self._listener, self.place, channels)

    async def _listener(self, seconds: float) -> Redis:
        """Return a client for a subscription of its own."""
        return connections.single(self._url, seconds)


def touched(commands: Sequence[Command]) -> list[str]:
    """Return the keys of commands, once each."""
    return list(dict.fromkeys(command[0] for command in commands if not isinstance(command, Send)))


def counted(commands: Sequence[Command]) -> list[Word]:
    """Return the words of commands, each preceded by their number."""
    return [word for command in _spelled(commands) for word in (len(command), *command)]


def _spelled(commands: Sequence[Command]) -> Iterator[tuple[Word, ...]]:
    """Spell commands as the words that the script passes on; PUT is its own."""
    for command in commands:
        match command:
            case SetValue(key, value, None):
                yield ("SET", key, value)
            case SetValue(key, value, int(life_ms)):
                yield ("SET", key, value, "PX", life_ms)
            case PutMember(key, member, score):
                yield ("PUT", key, member, score)
            case Trim(key, before):
                yield ("ZREMRANGEBYSCORE", key, "-inf", f"({before}")
            case SetHash(key, fields, life_ms):
                yield ("HSET", key, *(word for field in fields.items() for word in field))
                yield ("PEXPIRE", key, life_ms)
            case Delete(key):
                yield ("DEL", key)
            case Send(channel, message):
                yield ("PUBLISH", channel, message)


def _sha1(value: bytes) -> str:
    """Return what tells a value from others, as scripts can work it out."""
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()
