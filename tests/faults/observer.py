"""What readers of the store see while all goes wrong: every publication is true, none is torn, none goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import anyio
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from hotbandd.adapters.store import keys
from hotbandd.core.documents import AllocatorStatus, GatesBlob, RollingSummary, Weights

CAP, TARGET = 0.10, 0.30
PAUSE_SEC = 0.003
CHANNELS = {keys.GATES_CHANNEL: GatesBlob, keys.WEIGHTS_CHANNEL: Weights}


class Observer:
    """Listens to the channels and reads the keys of one instrument's book, as fast as it can, straight from the server.

    What should not be raises AssertionError in the task that sees it. ``max_age_ms``: of gates that weights may come from.
    """

    def __init__(self, url: str, pairs: Sequence[str], max_age_ms: int) -> None:
        self.heard = 0
        self.read = 0
        self.over = False
        self._url = url
        self._pairs = pairs
        self._max_age_ms = max_age_ms
        self._newest = dict.fromkeys(CHANNELS, (0, 0))
        self._raws: dict[tuple[str, int, int], bytes] = {}
        self._blobs: dict[int, GatesBlob] = {}
        self._weights: Weights | None = None
        self._seen: dict[str, bytes] = {}

    async def run(self) -> None:
        """Observe until it is ``over``, which is said rather than cancelled, so that connections are closed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(self._listen))
            group.create_task(self._again(self._read))

    async def _again(self, observe: Callable[[], Awaitable[None]]) -> None:
        while not self.over:
            with suppress(RedisError, OSError):
                await observe()
            await anyio.sleep(PAUSE_SEC)

    # ---- messages

    async def _listen(self) -> None:
        async with Redis.from_url(self._url, protocol=2, socket_timeout=5) as client, client.pubsub() as channels:
            await channels.subscribe(*CHANNELS)
            while not self.over:
                message = await channels.get_message(timeout=1.0)
                if message is not None and message["type"] == "message":
                    self.heard += 1
                    self._message(message["channel"].decode(), message["data"])

    def _message(self, channel: str, raw: bytes) -> None:
        document = self._document(channel, raw)
        place = document.epoch, document.seq
        assert place >= self._newest[channel], f"{channel} went back from {self._newest[channel]}: {raw!r}"
        self._newest[channel] = place

    def _document(self, channel: str, raw: bytes) -> GatesBlob | Weights:
        """Check a document, however it was seen; the same place in the order means the same bytes."""
        document = msgspec.json.decode(raw, type=CHANNELS[channel])
        place = channel, document.epoch, document.seq
        known = self._raws.setdefault(place, raw)
        assert known == raw, f"two documents of {place}: {known!r} and {raw!r}"
        if known is not raw:
            return document
        if isinstance(document, GatesBlob):
            assert set(document.gates) == set(self._pairs), f"not every instrument is in {raw!r}"
            self._blobs[document.ts] = document
        else:
            self._bounded(document)
        return document

    def _bounded(self, document: Weights) -> None:
        """Weights stay within cap and target, and rise only on gates that were published open and are fresh."""
        weights = document.weights
        assert all(0 < weight <= CAP for weight in weights.values()), document
        assert sum(weights.values()) <= TARGET + 1e-9, document
        before = self._weights.weights if self._weights is not None else {}
        risen = [pair for pair, weight in weights.items() if weight > before.get(pair, 0.0)]
        blob = self._blobs.get(document.gates_ts)
        if risen and blob is not None:
            assert all(blob.gates[pair] == 1 for pair in risen), f"{document} rose on shut gates: {blob}"
            age = document.ts - min(blob.ts, blob.evaluated_ts)
            assert age <= self._max_age_ms, f"{document} rose on gates that were {age} ms old"
        self._weights = document

    # ---- keys

    async def _read(self) -> None:
        names = [keys.GATES_BLOB, keys.WEIGHTS, keys.ALLOCATOR_STATUS]
        names += [keys.eligible(pair) for pair in self._pairs] + [keys.summary(pair) for pair in self._pairs]
        async with Redis.from_url(self._url, protocol=2, socket_timeout=5) as client:
            while not self.over:
                blob, weights, status, *others = await client.mget(names)
                self.read += 1
                flags, summaries = others[: len(self._pairs)], others[len(self._pairs) :]
                if blob is not None:
                    self._whole_gates(blob, flags, summaries)
                if weights is not None and status is not None:
                    self._whole_weights(weights, status)
                await anyio.sleep(PAUSE_SEC)

    def _whole_gates(self, raw: bytes, flags: list[bytes | None], summaries: list[bytes | None]) -> None:
        if self._seen.get("gates") == raw + b"".join(flag or b"?" for flag in flags):
            return
        blob = self._document(keys.GATES_CHANNEL, raw)
        assert isinstance(blob, GatesBlob)
        told = {pair: int(flag) if flag is not None else None for pair, flag in zip(self._pairs, flags, strict=True)}
        assert told == blob.gates, f"torn: flags {told} beside {blob}"
        for raw_summary in summaries:
            if raw_summary is not None:
                summary = msgspec.json.decode(raw_summary, type=RollingSummary)
                assert summary.ts == blob.evaluated_ts, f"torn: {summary} beside {blob}"
        self._seen["gates"] = raw + b"".join(flag or b"?" for flag in flags)

    def _whole_weights(self, raw: bytes, raw_status: bytes) -> None:
        if self._seen.get("weights") == raw + raw_status:
            return
        weights = self._document(keys.WEIGHTS_CHANNEL, raw)
        status = msgspec.json.decode(raw_status, type=AllocatorStatus)
        agree = weights.ts == status.ts or (status.held and weights.ts < status.ts)
        assert agree, f"torn: {status} beside {weights}"
        self._seen["weights"] = raw + raw_status
