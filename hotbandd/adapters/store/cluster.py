"""The store in a cluster of Valkey.

What takes effect at once is one document with its fence, in one slot. See docs/decisions/010 for what holds around it, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import redis.exceptions as foreign
from redis.asyncio import Redis

from hotbandd.adapters.store import cluster_scripts, keys
from hotbandd.adapters.store.backend import (
    Answer,
    Command,
    Delete,
    Fence,
    Publication,
    PutMember,
    Send,
    SetValue,
    Trim,
    lease_text,
)
from hotbandd.adapters.store.codec import decode_lease
from hotbandd.adapters.store.cuts import Cut, by_key, cut_of, types_of
from hotbandd.adapters.store.nodes import SLOTS, Call, Nodes
from hotbandd.adapters.store.valkey import Steps, ValkeyBackend, Word, counted, touched
from hotbandd.errors import CorruptPayloadError
from hotbandd.ports import Lease, Outcome
from hotbandd.settings import valkey_url

_DEPOSED = -1  # what FOLLOW returns where a later leader announced itself
_TRIES = 3  # of a lease whose epoch lies above every fence


class _Seen(NamedTuple):
    """Whether the lease is held and nothing of the document was lost; whether what it was decided on is given."""

    held: bool
    given: bool


class ClusterBackend(ValkeyBackend):
    """Pools of connections to the nodes of a cluster. Calls are repeated when one fails or a slot moves, so each is idempotent.

    It counts no publications: that a server lost some is told by the fences, and by another server in its place.
    """

    def __init__(self, url: str) -> None:
        self._nodes = nodes = Nodes(valkey_url.several(url))
        super().__init__(url, cast("Redis", nodes))
        self._unit = nodes.register_script(cluster_scripts.PUBLISH)
        self._follow = nodes.register_script(cluster_scripts.FOLLOW)
        self._send = nodes.register_script(cluster_scripts.SEND)
        self._raise = nodes.register_script(cluster_scripts.RAISE)
        self._known: dict[str, tuple[int, int]] = {}  # where each document stands at least, under the lease of
        self._epoch = 0
        self._registered: set[str] = set()
        self._servers: frozenset[str] | None = None  # that serve slots, as they were when the lease was taken

    async def demoted(self) -> None:
        """Nothing to do: the next call finds the primary."""

    async def ping(self) -> None:
        """Check that every node answers that serves slots."""
        await self.ask("", self._ping())

    async def _ping(self) -> None:
        for client in await self._nodes.primaries():
            await client.ping()

    async def infos(self) -> list[Mapping[str, Any]]:
        """Return what each node says of itself that serves slots."""
        clients = await self.ask("", self._nodes.primaries())
        return [await self.ask("", client.info()) for client in clients]

    async def layout(self) -> tuple[str, str | None]:
        """Return what the cluster is, and what it lacks."""
        first, *others = await self.ask("", self._nodes.primaries())
        said: Mapping[str, str] = await self.ask("", first.execute_command("CLUSTER INFO"))
        state, served = said["cluster_state"], int(said["cluster_slots_ok"])
        broken = (
            None
            if state == "ok" and served == SLOTS
            else f"The cluster is {state}, with {served} of {SLOTS} slots served."
        )
        return f"cluster of {1 + len(others)} primaries, {served} slots served", broken

    async def _listener(self, seconds: float) -> Redis:
        return await self._nodes.listener(seconds)

    async def get_all(self, names: Sequence[str]) -> list[bytes | None]:
        """Return strings."""
        values: list[bytes | None] = await self.ask(names[0], self._nodes.all([Call(("GET", name)) for name in names]))
        return values

    async def write(self, steps: Steps) -> None:
        """Run commands, step after step: a step begins once the one before is done."""
        for step in steps:
            if step:
                await self.ask(str(step[0][1]), self._nodes.all([Call(words) for words in step]))

    async def apply(self, commands: Sequence[Command]) -> None:
        """Apply idempotent commands, those of a key together, whoever leads."""
        if commands:
            await self.ask(touched(commands)[0], self._nodes.all(self._applied(commands)))

    # ---- publications

    async def publish(self, publication: Publication) -> Answer:
        """Apply a publication: its document at once or not at all, everything else before or after."""
        return Answer(await self._published(publication), 0)

    async def _published(self, publication: Publication) -> Outcome:
        fence, lease, cut = publication.fence, publication.lease, cut_of(publication)
        seen = await self._looked(publication)
        if not seen.held:
            return Outcome.FENCED
        if fence is None:
            await self.apply(publication.commands)
            return Outcome.PUBLISHED
        home = keys.fenced(fence.document)
        await self._register([home, *touched(cut.before)])
        if await self._followed(lease, fence, cut.before) == _DEPOSED:
            return Outcome.FENCED
        words = self._words(publication, cut, given=seen.given)
        outcome = await self.ask(home, self._unit([keys.fence_in_cluster(home), home], words))
        if outcome == b"older":
            return Outcome.DUPLICATE
        found = Outcome(outcome.decode())
        if found in {Outcome.PUBLISHED, Outcome.DUPLICATE}:
            self._note(lease, home, fence)
            # an equal one may be ours, and its rest have got lost on the way
            await self._followed(lease, fence, [one for one in cut.after if isinstance(one, SetValue | Delete)])
            await self.apply([one for one in cut.after if not isinstance(one, SetValue | Delete)])
            await self._sent(home, fence, cut.sends)
        return found

    async def _looked(self, publication: Publication) -> _Seen:
        """Look at the lease, at what the publication was decided on, at the fence, and at types: CorruptPayloadError for another one."""
        fence, given = publication.fence, publication.given
        types = types_of(publication.commands)
        home = keys.fenced(fence.document) if fence else ""
        strings = [keys.LEADER, keys.fence_in_cluster(home), given[0] if given else keys.KILL_SWITCH]
        calls = [*(Call(("GET", name)) for name in strings), *(Call(("TYPE", key)) for key in types)]
        leader, stored, value, *found = await self.ask(keys.LEADER, self._nodes.run(calls))
        for reply in (leader, *found):
            if isinstance(reply, Exception):
                await self.ask(keys.LEADER, _raised(reply))
        for (key, kind), name in zip(types.items(), found, strict=True):
            if name not in {b"none", kind}:
                raise CorruptPayloadError(key, f"it is a {name.decode()}")
        lost = (
            fence is not None
            and not isinstance(stored, Exception)
            and _place(stored) < self._stood(publication.lease, home)
        )
        held = leader == lease_text(publication.lease).encode() and not lost
        return _Seen(held, given is None or value == given[1])

    async def _followed(self, lease: Lease, fence: Fence, commands: Sequence[Command]) -> int:
        """Apply commands, those of a key together, each under its own fence; return the least that any script returned."""
        calls = []
        for key, ours in by_key(commands):
            place = ("", "") if isinstance(ours[0], PutMember | Trim) else (fence.epoch, fence.seq)
            calls.append(self._follow.call([keys.fence_in_cluster(key), key], [lease.epoch, *place, *counted(ours)]))
        return min(await self.ask(keys.LEADER, self._nodes.all(calls)), default=1)

    def _words(self, publication: Publication, cut: Cut, *, given: bool) -> list[Word]:
        fence, over = cast("Fence", publication.fence), publication.over
        return [
            publication.lease.epoch,
            fence.epoch,
            fence.seq,
            "again" if publication.again else "",
            *self._stood(publication.lease, keys.fenced(fence.document)),
            over[1] if over else "",
            "" if given else "changed",
            ":due" if cut.sends else "",
            *counted(cut.unit),
        ]

    def _stood(self, lease: Lease, home: str) -> tuple[int, int]:
        """Return where a document stands at least, as far as is known under a lease."""
        return self._known.get(home, (0, 0)) if lease.epoch == self._epoch else (0, 0)

    async def _sent(self, home: str, fence: Fence, sends: Sequence[Send]) -> None:
        if sends:
            words = [word for channel, message in sends for word in (channel, message)]
            await self.ask(home, self._send([keys.fence_in_cluster(home)], [fence.epoch, fence.seq, *words]))

    def _applied(self, commands: Sequence[Command]) -> list[Call]:
        return [self._apply.call([key], counted(ours)) for key, ours in by_key(commands)]  # type: ignore[attr-defined]

    def _note(self, lease: Lease, home: str, fence: Fence) -> None:
        """Note where a document stands at least: less under the same lease, and the server lost it."""
        if lease.epoch > self._epoch:
            self._known, self._epoch = {}, lease.epoch
        if lease.epoch == self._epoch:
            self._known[home] = (fence.epoch, fence.seq)

    # ---- the lease

    async def acquire(self, holder: str, ttl_ms: int, above: int) -> bytes:
        """Take the lease, and announce it at every fence: from then on no leader before publishes anything."""
        self._servers = await self._serving()
        for _ in range(_TRIES):
            call = self._acquire([keys.LEADER, keys.EPOCH_IN_CLUSTER], [holder, ttl_ms, above])
            reply: bytes = await self.ask(keys.LEADER, call)
            lease = decode_lease(keys.LEADER, reply)
            if lease is None or lease.holder != holder:
                return reply
            highest = await self._announced(lease)
            if highest <= lease.epoch:
                return reply
            above = highest  # the slot of the lease lost its last epochs, or its clock is behind
        return reply

    async def _announced(self, lease: Lease) -> int:
        """Raise every fence to a lease; return the highest epoch that was there."""
        listed = await self.ask(keys.DOCUMENTS, self._nodes.one(Call(("SMEMBERS", keys.DOCUMENTS))))
        known, self._registered = self._registered, {name.decode() for name in listed}
        await self._register(known)
        calls = [self._raise.call([keys.fence_in_cluster(name)], [lease.epoch]) for name in sorted(self._registered)]
        return max(map(int, await self.ask(keys.LEADER, self._nodes.all(calls))), default=0)

    async def _register(self, names: Iterable[str]) -> None:
        """List keys whose fences a later leader is to raise."""
        fresh = sorted(set(names) - self._registered)
        if fresh:
            await self.ask(keys.DOCUMENTS, self._nodes.one(Call(("SADD", keys.DOCUMENTS, *fresh))))
            self._registered.update(fresh)

    async def renew(self, lease: Lease, ttl_ms: int, floor: int) -> bool:
        """Prolong a lease that is in force, unless a server lost what was published under it, or another is in its place."""
        if await self._serving() != self._servers or await self._lost(lease):
            return False
        call = self._renew([keys.LEADER, keys.EPOCH_IN_CLUSTER], [lease_text(lease), ttl_ms, 0])
        return bool(await self.ask(keys.LEADER, call))

    async def _lost(self, lease: Lease) -> bool:
        """Tell whether a document is behind where it stood; a fence that is none tells nothing."""
        if lease.epoch != self._epoch:
            return False
        known = dict(self._known)
        calls = [Call(("GET", keys.fence_in_cluster(key))) for key in known]
        replies = await self.ask(keys.LEADER, self._nodes.run(calls))
        for reply, place in zip(replies, known.values(), strict=True):
            if isinstance(reply, Exception):
                if not isinstance(reply, foreign.ResponseError) or "WRONGTYPE" not in str(reply):
                    await self.ask(keys.LEADER, _raised(reply))
            elif _place(reply) < place:
                return True
        return False

    async def _serving(self) -> frozenset[str]:
        """Return what tells the processes that serve slots from those before and after."""
        found: frozenset[str] = await self.ask("", self._nodes.processes())
        return found


async def _raised(error: Exception) -> None:
    raise error


def _place(stored: bytes | None) -> tuple[float, float]:
    """Return where a fence stands: before everything where there is none, behind everything where it is no fence."""
    if stored is None:
        return (0, 0)
    epoch, _, rest = stored.partition(b":")
    seq = rest.partition(b":")[0]
    return (int(epoch), int(seq)) if epoch.isdigit() and seq.isdigit() else (float("inf"), 0)
