"""A client of a cluster: sends each command to the node that has its key, and follows when slots move.

redis-py has one of its own, which sends ASKING over another connection than the command it is for, so that a slot on the move is out of
reach, and which fails where its connections are all in use. This one is a map of slots over redis-py's clients of one server.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

import anyio
import redis.exceptions as foreign
from redis.asyncio import Redis
from redis.commands import AsyncCoreCommands
from redis.crc import key_slot
from redis.utils import str_if_bytes

from hotbandd.adapters.store import connections
from hotbandd.adapters.store.failures import CAUGHT
from hotbandd.settings.valkey_url import Several

Address: TypeAlias = tuple[str, int]
Word: TypeAlias = str | bytes | int

SLOTS: Final = 16384
PART: Final = 500  # commands to one node at once
PAUSES_SEC: Final = (0.05, 0.2, 0.5)  # before a call whose node does not serve is tried again
MOVING_SEC: Final = 0.02  # between two looks at a slot whose keys are on the move
_ANYWHERE: Final = frozenset({"PING", "PUBLISH"})
_LOST: Final = (
    foreign.ConnectionError,
    foreign.TimeoutError,
    foreign.ClusterDownError,
    foreign.ReadOnlyError,
    OSError,
    RuntimeError,
)
_FINAL: Final = (foreign.AuthenticationError, foreign.AuthorizationError)


class Call(NamedTuple):
    """A command, its key, and how redis-py is to read the reply."""

    words: Sequence[Word]
    options: dict[str, Any] = {}  # noqa: RUF012  nobody writes to it

    @property
    def slot(self) -> int | None:
        """The slot of its first key; None where any node will do."""
        if self.words[0] in _ANYWHERE:
            return None
        key = self.words[3 if self.words[0] == "EVALSHA" else 1]
        return int(key_slot(key.encode() if isinstance(key, str) else bytes(key)))


class Script:
    """A script that every node gets when it asks for it; called as redis-py's is."""

    def __init__(self, nodes: Nodes, text: str) -> None:
        self._nodes = nodes
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, names: Sequence[str], words: Sequence[Word]) -> Call:
        """Return the call, to be run with others; all keys are of one slot."""
        return Call(("EVALSHA", self.sha, len(names), *names, *words))

    async def __call__(self, names: Sequence[str], words: Sequence[Word]) -> Any:
        """Run it."""
        return await self._nodes.one(self.call(names, words))


class Nodes(AsyncCoreCommands):
    """The nodes of a cluster, found from a few of them, each with a bounded pool of connections."""

    _event_dispatcher: Any = None  # redis-py asks for one; nothing here tells it anything

    def __init__(self, found: Several) -> None:
        self._found = found
        self._clients: dict[Address, Redis] = {}
        self._owners: list[Address] = []  # of each slot; empty until they are known
        self._stale = False
        self._drawing = anyio.Lock()
        self._scripts: dict[str, str] = {}

    # ---- calls

    def register_script(self, script: str) -> Script:  # type: ignore[override]
        """Note a script, and return what runs it."""
        made = Script(self, script)
        self._scripts[made.sha] = script
        return made

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        """Run one command; redis-py's methods end here."""
        return await self.one(Call(words, options))

    async def one(self, call: Call) -> Any:
        """Run one call and return its reply, or raise what it raised."""
        return (await self.all([call]))[0]

    async def all(self, calls: Sequence[Call]) -> list[Any]:
        """Run calls, those of one node in their order, and return the replies; raise the first thing that any of them raised."""
        replies = await self.run(calls)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Run calls and return the reply of each, or what it raised.

        Calls are sent again where a slot moves, as long as it does, and where a node does not serve, a few times; the caller has a deadline.
        """
        replies: list[Any] = [None] * len(calls)
        waiting: dict[int, Address | None] = dict.fromkeys(range(len(calls)))  # where to ask for a key on the move
        pauses = iter(PAUSES_SEC)
        while waiting:
            groups = await self._grouped(calls, waiting)
            async with anyio.create_task_group() as group:
                for address, numbers in groups.items():
                    part = [(number, waiting[number] is not None) for number in numbers]
                    group.start_soon(self._send, address, calls, part, replies)
            again = self._to_follow(groups, replies)
            failed = [number for number in waiting if _failed(replies[number])]
            pause = next(pauses, None) if failed else None
            if pause is not None:
                self._stale = True
                again.update(dict.fromkeys(failed))
            if again:
                moving = any(
                    isinstance(replies[number], foreign.TryAgainError | foreign.MovedError) for number in again
                )
                await anyio.sleep(pause or (MOVING_SEC if moving else 0))
            waiting = {number: again[number] for number in waiting if number in again}
        return replies

    async def _grouped(self, calls: Sequence[Call], sent: dict[int, Address | None]) -> dict[Address, list[int]]:
        await self._draw()
        groups: dict[Address, list[int]] = {}
        for number, asked in sent.items():
            slot = calls[number].slot
            address = asked or (random.choice(self._owners) if slot is None else self._owners[slot])  # noqa: S311
            groups.setdefault(address, []).append(number)
        return groups

    async def _send(
        self, address: Address, calls: Sequence[Call], numbers: Sequence[tuple[int, bool]], replies: list[Any]
    ) -> None:
        """Send calls to a node, each behind an ASKING where it is on the move, and note the replies."""
        for start in range(0, len(numbers), PART):
            part = numbers[start : start + PART]
            pipeline = self.client(address).pipeline(transaction=False)
            for number, asking in part:
                if asking:
                    pipeline.execute_command("ASKING")
                pipeline.execute_command(*calls[number].words, **calls[number].options)
            try:
                found = iter(await pipeline.execute(raise_on_error=False))
            except CAUGHT as error:
                for number, _ in part:
                    replies[number] = error
                continue
            for number, asking in part:
                if asking:
                    next(found)
                replies[number] = next(found)
            await self._taught(
                address, [n for n, _ in part if isinstance(replies[n], foreign.NoScriptError)], calls, replies
            )

    async def _taught(
        self, address: Address, lacking: Sequence[int], calls: Sequence[Call], replies: list[Any]
    ) -> None:
        """Give a node the scripts that it did not have; where that fails, it is what the calls raised."""
        for sha in {str(calls[number].words[1]) for number in lacking}:
            try:
                await self.client(address).script_load(self._scripts[sha])
            except CAUGHT as error:
                for number in lacking:
                    replies[number] = error

    def _to_follow(self, groups: dict[Address, list[int]], replies: Sequence[Any]) -> dict[int, Address | None]:
        """Return the calls to be sent again because a slot moves, or a script was not there, and where to."""
        again: dict[int, Address | None] = {}
        for asked, numbers in groups.items():
            for number in numbers:
                reply = replies[number]
                if isinstance(reply, foreign.MovedError):  # a kind of AskError
                    self._owners[reply.slot_id] = (reply.host or asked[0], reply.port)
                    self._stale = True
                    again[number] = None
                elif isinstance(reply, foreign.AskError):
                    again[number] = (reply.host or asked[0], reply.port)
                elif isinstance(reply, foreign.TryAgainError | foreign.NoScriptError):
                    again[number] = None
        return again

    # ---- nodes

    def client(self, address: Address) -> Redis:
        """Return the client of a node."""
        if address not in self._clients:
            self._clients[address] = connections.node(*address, self._found)
        return self._clients[address]

    async def primaries(self) -> list[Redis]:
        """Return the clients of the nodes that serve slots."""
        await self._draw()
        return [self.client(address) for address in sorted(set(self._owners))]

    async def processes(self) -> frozenset[str]:
        """Return what tells the server processes that serve slots from any other: a promoted replica, or one that was started again."""
        found: set[str] = set()

        async def look(client: Redis) -> None:
            said = await client.info("server", "replication")
            if said["role"] != "master":
                self._stale = True
            found.add(f"{said['run_id']} {said['role']}")

        try:
            async with anyio.create_task_group() as group:
                for client in await self.primaries():
                    group.start_soon(look, client)
        except BaseExceptionGroup as errors:
            self._stale = True
            raise errors.exceptions[0] from None
        return frozenset(found)

    async def listener(self, seconds: float) -> Redis:
        """Return a client of a node that answers, for a subscription: a message reaches the subscribers of every node."""
        await self._draw()
        error: Exception = foreign.ConnectionError("no node of the cluster answers")
        for address in self._shuffled(sorted(set(self._owners))):
            try:
                await self.client(address).ping()
            except CAUGHT as found:
                error, self._stale = found, True
            else:
                return connections.single_node(*address, self._found, seconds)
        raise error

    async def _draw(self) -> None:
        """Ask a node who serves which slots, where that is unknown or something moved."""
        if self._owners and not self._stale:
            return
        async with self._drawing:
            if self._owners and not self._stale:
                return
            error: Exception | None = None
            known = list(dict.fromkeys((*self._found.nodes, *self._owners)))
            for address in self._shuffled(known):
                try:
                    ranges = await self.client(address).execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
                except CAUGHT as found:
                    error = found
                    continue
                owners = _owners(ranges, address[0])
                if owners is None:
                    error = foreign.ClusterDownError("CLUSTERDOWN it does not serve every slot")
                    continue
                self._owners, self._stale = owners, False
                await self._left()
                return
            if not self._owners:
                raise error or foreign.ConnectionError("no node of the cluster is known")
            # what was known is all there is: whoever calls finds out, and tries again

    async def _left(self) -> None:
        """Close the connections to nodes that serve no slot any more."""
        kept = {*self._owners, *self._found.nodes}
        for address in [one for one in self._clients if one not in kept]:
            await self._clients.pop(address).aclose()

    def _shuffled(self, addresses: Sequence[Address]) -> list[Address]:
        return random.sample(addresses, len(addresses))

    async def aclose(self) -> None:
        """Close all connections."""
        clients, self._clients = list(self._clients.values()), {}
        async with anyio.create_task_group() as group:
            for client in clients:
                group.start_soon(partial(client.aclose))


def _failed(reply: Any) -> bool:
    """Tell whether a node did not serve: gone, silent, or without a say just now."""
    return isinstance(reply, _LOST) and not isinstance(reply, _FINAL)


def _owners(ranges: Any, asked: str) -> list[Address] | None:
    """Return the primary of each slot; None where one has none."""
    found: list[Address | None] = [None] * SLOTS
    for first, last, primary, *_ in ranges:
        address = (str_if_bytes(primary[0]) or asked, int(primary[1]))
        found[int(first) : int(last) + 1] = [address] * (int(last) + 1 - int(first))
    whole = [address for address in found if address is not None]
    return whole if len(whole) == SLOTS else None
