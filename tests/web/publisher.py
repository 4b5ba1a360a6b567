"""Somebody else who leads: publishes a market of many instruments, so that a daemon that stands by shows it.

``python -m tests.web.publisher VALKEY_URL INSTRUMENT ...``: a day of history, one evaluation and weights at once, then a manifold of each
instrument per minute, spread over the minute. Says ``published`` once all is there.
"""

from __future__ import annotations

import random
import sys
import time

import anyio
from msgspec.structs import replace

from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.documents import Floors, GatesBlob, GateState, Manifold, ManifoldPoint, Structure
from hotbandd.core.gates import Reason
from hotbandd.ports import Evaluation, Lease, ManifoldUpdate
from tests.adapters import store_samples as samples

HOLDER = "somebody-else"
LEASE_MS = 3_600_000
SLOT_MS = 900_000


class Publisher:
    """One market, the same for the same seed."""

    def __init__(self, store: DocumentStore, lease: Lease, pairs: list[str]) -> None:
        self._store = store
        self._lease = lease
        self._pairs = pairs
        self._random = random.Random(1)

    async def all(self, now: int) -> None:
        """Publish a day of history, an evaluation and weights."""
        minute = now - now % MINUTE_MS
        for pair in self._pairs:
            points = [self._point(ts) for ts in range(minute - DAY_MS + MINUTE_MS, minute + 1, 5 * MINUTE_MS)]
            await self._store.put_manifold_history(self._lease, pair, points)
            await self.manifold(pair, minute)
        slot, epoch = now - now % SLOT_MS, self._lease.epoch
        await self._store.publish_evaluation(self._lease, self._evaluation(slot))
        chosen = dict.fromkeys(self._pairs[:3], 0.1)
        given = replace(samples.weights(slot, epoch, slot), weights=chosen, scores=dict.fromkeys(chosen, 0.7))
        told = replace(samples.status(slot, epoch, slot), eligible=len(self._pairs) // 3, selected=list(chosen))
        await self._store.publish_allocation(self._lease, given, told)
        await self._store.init_kill_switch(engaged=False)

    async def manifold(self, pair: str, ts: int) -> None:
        """Publish the newest manifold of an instrument."""
        point = self._point(ts)
        update = ManifoldUpdate(self._document(pair, point), [point], [])
        await self._store.publish_manifold(self._lease, update)

    def _point(self, ts: int) -> ManifoldPoint:
        c, s, h, r = (round(self._random.random(), 6) for _ in range(4))
        return replace(samples.point(ts), C=c, S=s, H=h, R=r)

    def _document(self, pair: str, point: ManifoldPoint) -> Manifold:
        metrics = Structure(coherence=point.C, stability=point.S, entropy=point.H, rupture=point.R)
        document = samples.manifold(point.ts, self._lease.epoch, point.ts, pair)
        return replace(document, metrics=metrics, price=round(1 + self._random.random(), 5))

    def _evaluation(self, slot: int) -> Evaluation:
        epoch, flags = self._lease.epoch, {pair: int(i % 3 == 0) for i, pair in enumerate(self._pairs)}
        why = [reason.value for reason in (Reason.CALMAR_BELOW_FLOOR, Reason.RECENT_LOSS, Reason.PATTERN_NOT_REPEATED)]
        blob = GatesBlob(
            ts=slot,
            evaluated_ts=slot,
            gates=flags,  # type: ignore[arg-type]
            cooldowns=dict.fromkeys(self._pairs, 0),
            bufs=dict.fromkeys(self._pairs, 0.1),
            reasons={pair: [] if flag else why for pair, flag in flags.items()},
            guards=dict.fromkeys(self._pairs),
            epoch=epoch,
            seq=slot,
        )
        floors = Floors(min_trades=8, calmar_min=0.1, pnl_min=0.0, adaptive=False, history=2880)
        summaries, states = {}, {}
        for pair, flag in flags.items():
            sign = 1 if flag else -1
            span = replace(samples.SPAN, trades=self._random.randint(9, 80), calmar=sign * 2 * self._random.random())
            span = replace(span, pnl_total=sign * 0.03 * self._random.random())
            found = replace(samples.summary(slot, epoch, slot), instrument=pair, summary={"14": span, "30": span})
            summaries[pair] = replace(found, gates=floors, eligible=flag, reasons=blob.reasons[pair])
            states[pair] = GateState(eligible=bool(flag), passes=5 * flag, fails=0 if flag else 3, last_slot=slot)
        return Evaluation(blob, states, summaries, {})


async def main(url: str, pairs: list[str]) -> None:
    """Publish for ever."""
    async with open_valkey(url, samples.AGES) as store:
        lease = await store.acquire_lease(HOLDER, LEASE_MS)
        if lease is None:
            raise SystemExit("Somebody leads already.")
        publisher = Publisher(store, lease, pairs)
        await publisher.all(time.time_ns() // 1_000_000)
        print("published", flush=True)  # noqa: T201  what it is waited for by
        while True:
            for pair in pairs:
                now = time.time_ns() // 1_000_000
                await publisher.manifold(pair, now - now % MINUTE_MS)
                await anyio.sleep(60 / len(pairs))


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2:])
