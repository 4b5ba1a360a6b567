"""Publications: what the contract asks to become visible together, as commands.

Where that cannot be, in a cluster, what stands before the document takes effect before it, what stands behind it after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.backend import (
    Command,
    Delete,
    Fence,
    Publication,
    PutMember,
    Send,
    SetHash,
    SetValue,
    Trim,
)
from hotbandd.adapters.store.keys import Expiries
from hotbandd.core.documents import (
    AllocatorStatus,
    Cooldown,
    EvaluationPoint,
    GateState,
    ManifoldPoint,
    Signal,
    Weights,
    encode,
)
from hotbandd.ports import Evaluation, Lease, ManifoldUpdate

_NS_PER_MS = 1_000_000


def manifold(lease: Lease, update: ManifoldUpdate, expiries: Expiries) -> Publication:
    """Publish a manifold with its newest points and signals."""
    document = update.document
    instrument, raw = document.instrument, encode(document)
    commands = [
        SetValue(keys.manifold(instrument), raw, expiries.manifold),
        *history(instrument, update.points),
        Trim(keys.manifold_history(instrument), document.ts - keys.MANIFOLD_HISTORY_MS),
        *signals(instrument, update.signals, expiries),
        Trim(keys.signal_index(instrument), document.ts - expiries.signals_kept_ms),
        Send(keys.MANIFOLD_CHANNEL, raw),
    ]
    fence = Fence(keys.manifold_fence(instrument), document.epoch, document.seq)
    over = keys.manifold(instrument), document.ts
    return Publication(lease, commands, fence, over, good_ms=expiries.manifold)


def history(instrument: str, points: Sequence[ManifoldPoint]) -> Iterator[Command]:
    """Write history points."""
    key = keys.manifold_history(instrument)
    return (PutMember(key, encode(point), point.ts) for point in points)


def history_trim(instrument: str, points: Sequence[ManifoldPoint]) -> Iterator[Command]:
    """Keep a day of history before the newest of some points."""
    if points:
        yield Trim(keys.manifold_history(instrument), points[-1].ts - keys.MANIFOLD_HISTORY_MS)


def signals(instrument: str, written: Sequence[Signal], expiries: Expiries) -> Iterator[Command]:
    """Write signals and list them."""
    index = keys.signal_index(instrument)
    for signal in written:
        key = keys.signal(instrument, signal.ts_ns)
        fields = {name: str(value).encode() for name, value in msgspec.to_builtins(signal).items()}
        yield SetHash(key, fields, expiries.signal)
        yield PutMember(index, key.encode(), signal.ts_ns // _NS_PER_MS)


def evaluation(lease: Lease, slot: Evaluation, expiries: Expiries) -> Publication:
    """Publish a slot of the evaluator.

    What the next slot begins with comes first: a slot whose blob is out was counted, and one that was counted is not counted again.
    """
    blob = slot.blob
    raw = encode(blob)
    commands: list[Command] = []
    for (instrument, param_key), point in slot.points.items():
        commands += evaluations(instrument, param_key, [point])
        commands.append(Trim(keys.evaluations(instrument, param_key), point.ts - keys.EVALUATIONS_MS))
    for instrument, state in slot.states.items():
        commands.append(SetValue(keys.gate_state(instrument), encode(state), None))
    commands.append(SetValue(keys.GATES_BLOB, raw, expiries.gates))
    for instrument, state in slot.states.items():
        commands.append(_cooldown(instrument, state, blob.ts, expiries))
    for instrument, flag in blob.gates.items():
        commands.append(SetValue(keys.eligible(instrument), b"%d" % flag, expiries.gates))
    for instrument, summary in slot.summaries.items():
        commands.append(SetValue(keys.summary(instrument), encode(summary), expiries.summary))
    commands.append(Send(keys.GATES_CHANNEL, raw))
    return Publication(lease, commands, Fence(keys.GATES_FENCE, blob.epoch, blob.seq), good_ms=expiries.gates)


def evaluations(instrument: str, param_key: str, points: Sequence[EvaluationPoint]) -> Iterator[Command]:
    """Write kept evaluations."""
    key = keys.evaluations(instrument, param_key)
    return (PutMember(key, encode(point), point.ts) for point in points)


def _cooldown(instrument: str, state: GateState, ts: int, expiries: Expiries) -> Command:
    left_ms = state.cooldown_until - ts
    if left_ms <= 0:
        return Delete(keys.cooldown(instrument))
    document = Cooldown(cooldown_until=state.cooldown_until)
    return SetValue(keys.cooldown(instrument), encode(document), expiries.of(left_ms / 1000))


def allocation(lease: Lease, weights: Weights | None, status: AllocatorStatus, expiries: Expiries) -> Publication:
    """Publish a slot of the allocator, without weights only its status; one decided with the kill switch released only while it is."""
    commands: list[Command] = [SetValue(keys.ALLOCATOR_STATUS, encode(status), expiries.status)]
    if weights is not None:
        raw = encode(weights)
        commands = [SetValue(keys.WEIGHTS, raw, None), *commands, Send(keys.WEIGHTS_CHANNEL, raw)]
    fence = Fence(keys.WEIGHTS_FENCE, status.epoch, status.seq)
    given = None if weights is None or status.kill_switch else (keys.KILL_SWITCH, keys.RELEASED)
    return Publication(lease, commands, fence, good_ms=expiries.status, given=given)
