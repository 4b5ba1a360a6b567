"""A process that publishes without a pause while it leads: ``python -m tests.faults.publisher URL HOLDER TTL_SEC``.

It prints ``leads`` and ``deposed`` as that changes, and ``fenced`` for each publication that was refused.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Awaitable, Callable

import anyio
import msgspec

from hotbandd.adapters import log
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.errors import FencedError, UnreachableError
from hotbandd.ports import Lease, Outcome
from hotbandd.services.health import Health
from hotbandd.services.leader import Leader, Leadership
from tests.adapters import store_samples as samples
from tests.services.recording import RecordingTelemetry

PAUSE_SEC = 0.005
LONG = "x" * 400_000  # more than a socket takes at once, so that a publication can be stopped half-sent
LONG_EVERY = 20

Publish = Callable[[DocumentStore, Lease, int], Awaitable[Outcome]]


def manifold(store: DocumentStore, lease: Lease, seq: int) -> Awaitable[Outcome]:
    return store.publish_manifold(lease, samples.update(samples.START + seq, lease.epoch, seq))


def evaluation(store: DocumentStore, lease: Lease, seq: int) -> Awaitable[Outcome]:
    slot = samples.evaluation(samples.START + seq, lease.epoch, seq)
    reasons = {samples.PAIR: [LONG] if seq % LONG_EVERY == 0 else []}
    return store.publish_evaluation(lease, slot._replace(blob=msgspec.structs.replace(slot.blob, reasons=reasons)))


def allocation(store: DocumentStore, lease: Lease, seq: int) -> Awaitable[Outcome]:
    ts = samples.START + seq
    return store.publish_allocation(lease, samples.weights(ts, lease.epoch, seq), samples.status(ts, lease.epoch, seq))


def tell(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def publish(store: DocumentStore, leadership: Leadership, one: Publish) -> None:
    for seq in itertools.count(1):
        lease = await leadership.held()
        try:
            leadership.accept(await one(store, lease, seq), "a sample", lease)
        except FencedError:
            tell("fenced")
        except UnreachableError:
            pass
        await anyio.sleep(PAUSE_SEC)


async def report(leadership: Leadership) -> None:
    while True:
        await leadership.held()
        tell("leads")
        await leadership.lost()
        tell("deposed")


async def main(url: str, holder: str, ttl_sec: float) -> None:
    log.configure("error", "json", interactive=False, secrets=())
    leadership = Leadership()
    async with open_valkey(url, samples.AGES) as store, anyio.create_task_group() as group:
        leader = Leader(leadership, store, RecordingTelemetry(), Health(), holder, ttl_sec)
        group.start_soon(report, leadership)
        for one in (manifold, evaluation, allocation):
            group.start_soon(publish, store, leadership, one)
        group.start_soon(leader.run)
        await anyio.to_thread.run_sync(sys.stdin.read)  # until whoever started it ends
        group.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], float(sys.argv[3]))
