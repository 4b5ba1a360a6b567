"""The document store: the contract's documents over any backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain, islice
from operator import attrgetter
from typing import TypeVar

import msgspec
from anyio.lowlevel import checkpoint

from hotbandd.adapters.store import keys, publications
from hotbandd.adapters.store.backend import Backend, Command, Messages, Publication
from hotbandd.adapters.store.candles import StoredCandles
from hotbandd.adapters.store.codec import Members, decode, decode_lease, pages
from hotbandd.adapters.store.kept import Kept
from hotbandd.adapters.store.keys import Expiries
from hotbandd.core.candles import Candles
from hotbandd.core.documents import (
    AllocatorStatus,
    ClockAnchor,
    EvaluationPoint,
    GatesBlob,
    GateState,
    Manifold,
    ManifoldPoint,
    RollingSummary,
    Weights,
    encode,
)
from hotbandd.errors import CorruptPayloadError
from hotbandd.ports import Ages, Evaluation, Lease, ManifoldUpdate, Outcome, Page
from hotbandd.together import together

T = TypeVar("T")

PART = 200  # points, signals or commands of one publication

_POINTS = Members(msgspec.json.Decoder(list[ManifoldPoint]), attrgetter("ts"))
_EVALUATIONS = Members(msgspec.json.Decoder(list[EvaluationPoint]), attrgetter("ts"))


class DocumentStore:
    """The Store port over a backend: names keys, encodes, decodes strictly, and trims."""

    def __init__(self, backend: Backend, ages: Ages, *, speed: float = 1.0) -> None:
        self._backend = backend
        self._expiries = Expiries(ages, speed)
        self._candles = StoredCandles(backend, self._expiries)
        self._kept = Kept()

    async def ping(self) -> None:
        """Check that the server answers."""
        await self._backend.ping()

    def subscribe(self, channels: Sequence[str]) -> Messages:
        """Receive the messages of channels.

        After a StoreUnreachableError subscribe anew and read the keys again: messages may have been missed.
        """
        return self._backend.subscribe(channels)

    @asynccontextmanager
    async def manifolds(self) -> AsyncIterator[AsyncIterator[Manifold]]:
        """Receive each manifold as it is published; what is none is left out."""
        async with self.subscribe([keys.MANIFOLD_CHANNEL]) as messages:
            yield _manifolds(messages)

    async def put_candles(self, instrument: str, granularity: str, candles: Candles) -> None:
        """Store candles, one per minute; pack and trim what is old enough."""
        await self._candles.put(keys.CandlePlace(instrument, granularity), candles)

    async def candles(self, instrument: str, granularity: str, start_ms: int, end_ms: int) -> Page:
        """Return the stored candles that open in [start, end) and can be true; the others are counted."""
        return await self._candles.read(keys.CandlePlace(instrument, granularity), start_ms, end_ms)

    async def candle_count(self, instrument: str, granularity: str, start_ms: int, end_ms: int) -> int:
        """Return how many candles are stored that open in [start, end), whatever they hold."""
        return await self._candles.count(keys.CandlePlace(instrument, granularity), start_ms, end_ms)

    async def _rows(self, key: str, members: Members[T], first: int, last: int) -> list[T]:
        return [row async for rows, _ in pages(self._backend, key, members, first, last) for row in rows]

    async def publish_manifold(self, lease: Lease, update: ManifoldUpdate) -> Outcome:
        """Publish a manifold; never over one of a later ts.

        Of a long catch-up the older points and signals are written first, in parts that do not hold up the server.
        """
        document, points, signals = update
        older = chain(
            publications.history(document.instrument, points[:-PART]),
            publications.signals(document.instrument, signals[:-PART], self._expiries),
        )
        if await self._publish_parts(lease, older) is Outcome.FENCED:
            return Outcome.FENCED
        newest = ManifoldUpdate(document, points[-PART:], signals[-PART:])
        return await self._publish(publications.manifold(lease, newest, self._expiries))

    async def put_manifold_history(self, lease: Lease, instrument: str, points: Sequence[ManifoldPoint]) -> Outcome:
        """Write history points, idempotently, and trim to a day before the newest of them."""
        written = publications.history(instrument, points)
        return await self._publish_parts(lease, chain(written, publications.history_trim(instrument, points)))

    async def _publish_parts(self, lease: Lease, commands: Iterator[Command]) -> Outcome:
        """Apply idempotent commands in parts, each only while the lease is held."""
        while part := tuple(islice(commands, PART)):
            if await self._publish(Publication(lease, part)) is Outcome.FENCED:
                return Outcome.FENCED
            if len(part) == PART:
                await checkpoint()
        return Outcome.PUBLISHED

    async def manifold(self, instrument: str) -> Manifold | None:
        """Return the newest manifold."""
        key = keys.manifold(instrument)
        document = await self._document(key, Manifold)
        if document is not None and document.instrument != instrument:
            raise CorruptPayloadError(key, f"it is of {document.instrument}")
        return document

    async def manifold_history(self, instrument: str, start_ms: int, end_ms: int) -> list[ManifoldPoint]:
        """Return the history points with start < ts <= end, ascending; corrupt members are left out."""
        return await self._rows(keys.manifold_history(instrument), _POINTS, start_ms + 1, end_ms)

    async def publish_evaluation(self, lease: Lease, evaluation: Evaluation) -> Outcome:
        """Publish a slot's blob, flags, states, cooldowns, summaries, history and message.

        Blob, flags and message are good up to the blob's age: of a slot that is late for so much less.
        """
        expiries = self._expiries.late(evaluation.late_sec)
        return await self._publish(publications.evaluation(lease, evaluation, expiries))

    async def gate_state(self, instrument: str) -> GateState | None:
        """Return the state of a gate."""
        return await self._document(keys.gate_state(instrument), GateState)

    async def evaluation_points(
        self, instrument: str, param_key: str, start_ms: int, end_ms: int
    ) -> list[EvaluationPoint]:
        """Return the kept evaluations with start <= ts < end, ascending; corrupt members are left out."""
        return await self._rows(keys.evaluations(instrument, param_key), _EVALUATIONS, start_ms, end_ms - 1)

    async def put_evaluation_points(
        self, lease: Lease, instrument: str, param_key: str, points: Sequence[EvaluationPoint]
    ) -> Outcome:
        """Write kept evaluations, idempotently."""
        return await self._publish_parts(lease, publications.evaluations(instrument, param_key, points))

    async def summary(self, instrument: str) -> RollingSummary | None:
        """Return the last evaluation of an instrument."""
        return await self._document(keys.summary(instrument), RollingSummary)

    async def gates_blob(self) -> GatesBlob | None:
        """Return the newest blob."""
        return await self._document(keys.GATES_BLOB, GatesBlob)

    async def publish_allocation(self, lease: Lease, weights: Weights | None, status: AllocatorStatus) -> Outcome:
        """Publish a slot's weights (none while holding) and status, and the message of the weights."""
        return await self._publish(publications.allocation(lease, weights, status, self._expiries))

    async def _publish(self, publication: Publication) -> Outcome:
        """Publish, unless the server lost what was published before, and keep what went out.

        Once a publication got no answer, nothing more goes out under its lease: what stands there now has its epoch and seq, and may
        have been read.
        """
        lease = publication.lease
        if self._kept.doubted(lease):
            return Outcome.FENCED
        try:
            outcome, count = await self._backend.publish(publication._replace(floor=self._kept.floor(lease)))
        except CorruptPayloadError:  # an answer: types are looked at before anything is written
            raise
        except BaseException:
            self._kept.doubt(publication)
            raise
        self._kept.note(lease, count)
        if outcome is Outcome.PUBLISHED or (outcome is Outcome.DUPLICATE and publication.over is None):
            self._kept.keep(publication)
        return outcome

    async def give_back(self, lease: Lease, *, repeat: bool) -> list[str]:
        """Publish verbatim what this process published last, as far as it would still be there; return what the server took.

        It takes what it lost; to ``repeat``, also what it has. What decides who may trade goes first.
        """
        for document, key in self._kept.doubts(lease):
            self._kept.settle(document, await self._backend.get(key))
        taken: set[str] = set()

        async def one(each: tuple[str, Publication]) -> None:
            document, publication = each
            with suppress(CorruptPayloadError):  # whoever publishes that next says so
                outcome, count = await self._backend.publish(publication)
                self._kept.note(lease, count)
                if outcome is Outcome.PUBLISHED:
                    taken.add(document)

        documents = list(self._kept.again(lease, repeat=repeat))
        first = [each for each in documents if each[0] in (keys.GATES_FENCE, keys.WEIGHTS_FENCE)]
        await together(first, one, at_once=1)
        await together([each for each in documents if each not in first], one)
        return [document for document, _ in documents if document in taken]

    async def weights(self) -> Weights | None:
        """Return the published weights."""
        return await self._document(keys.WEIGHTS, Weights)

    async def allocator_status(self) -> AllocatorStatus | None:
        """Return the last status of the allocator."""
        return await self._document(keys.ALLOCATOR_STATUS, AllocatorStatus)

    async def kill_switch(self) -> bool | None:
        """Return whether the kill switch is engaged, as whatever is not 0 counts; None while the key is missing."""
        try:
            raw = await self._backend.get(keys.KILL_SWITCH)
        except CorruptPayloadError:
            return True
        return None if raw is None else raw != keys.RELEASED

    async def set_kill_switch(self, *, engaged: bool) -> None:
        """Engage or release the kill switch."""
        await self._backend.set(keys.KILL_SWITCH, b"%d" % engaged)

    async def init_kill_switch(self, *, engaged: bool) -> bool:
        """Set the kill switch only where it is missing; return whether it is engaged now."""
        await self._backend.set(keys.KILL_SWITCH, b"%d" % engaged, only_if_missing=True)
        return await self.kill_switch() is not False

    async def acquire_lease(self, holder: str, ttl_ms: int, *, above: int = 0) -> Lease | None:
        """Take the lease if it is free, with the next epoch, above one that is known; None while another holds it.

        Who holds it already gets it anew with a new epoch, so that a request sent twice does no harm.
        """
        lease = decode_lease(keys.LEADER, await self._backend.acquire(holder, ttl_ms, above))
        return lease if lease is not None and lease.holder == holder else None

    async def renew_lease(self, lease: Lease, ttl_ms: int) -> bool:
        """Prolong the lease; False where it is lost, the server lost what was published, or a publication got no answer."""
        return not self._kept.doubted(lease) and await self._backend.renew(lease, ttl_ms, self._kept.floor(lease))

    async def release_lease(self, lease: Lease) -> None:
        """Give the lease up, if it is still ours."""
        await self._backend.release(lease)

    async def leader(self) -> Lease | None:
        """Return who leads."""
        return decode_lease(keys.LEADER, await self._backend.get(keys.LEADER))

    async def set_clock(self, anchor: ClockAnchor) -> None:
        """Tell readers that the clock is not the real one; expires after 60 s, renew it."""
        await self._backend.set(keys.CLOCK, encode(anchor), life_ms=self._expiries.clock)

    async def clock(self) -> ClockAnchor | None:
        """Return the anchor of a clock that is not the real one."""
        return await self._document(keys.CLOCK, ClockAnchor)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._backend.aclose()

    async def _document(self, key: str, kind: type[T]) -> T | None:
        return decode(key, await self._backend.get(key), kind)


async def _manifolds(messages: AsyncIterator[tuple[str, bytes]]) -> AsyncIterator[Manifold]:
    async for channel, message in messages:
        try:
            document = decode(channel, message, Manifold)
        except CorruptPayloadError:
            continue
        if document is not None:
            yield document
