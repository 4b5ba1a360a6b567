"""What changed between two looks at what is published, in sentences for people who are not looking."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from hotbandd.core import words
from hotbandd.core.documents import AllocatorStatus, GatesBlob


class Kind(StrEnum):
    """Kinds of changes that messages are sent for."""

    GATES = "gates"
    KILL_SWITCH = "kill_switch"
    HOLDING = "holding"
    HEALTH = "health"
    LEADER = "leader"


class Seen(NamedTuple):
    """What one look saw; None for what is not known, which is no change by itself.

    ``engaged``: the kill switch. ``troubles``: what is amiss, in words; none where all is well.
    """

    blob: GatesBlob | None = None
    status: AllocatorStatus | None = None
    engaged: bool | None = None
    holder: str | None = None
    troubles: tuple[str, ...] | None = None

    def over(self, earlier: Seen) -> Seen:
        """Return this look, with what an earlier one knew where this one knows nothing."""
        known = {name: value for name, value in self._asdict().items() if value is not None}
        return earlier._replace(**known)


class Change(NamedTuple):
    """One change, in a sentence."""

    kind: Kind
    words: str


def between(before: Seen, after: Seen) -> list[Change]:
    """Return what changed from one look to a later one, of what both know."""
    found = [*_gates(before.blob, after.blob), *_holding(before.status, after.status)]
    if None not in {before.engaged, after.engaged} and before.engaged != after.engaged:
        engaged = "The kill switch is engaged: no weight rises."
        found.append(Change(Kind.KILL_SWITCH, engaged if after.engaged else "The kill switch is released."))
    if after.holder is not None and before.holder != after.holder:
        earlier = f" before it {before.holder} did." if before.holder else " before it nobody did."
        found.append(Change(Kind.LEADER, f"{after.holder} leads now;{earlier}"))
    if before.troubles is not None and after.troubles is not None and bool(before.troubles) != bool(after.troubles):
        amiss = f"Unhealthy: {'; '.join(after.troubles)}."
        found.append(Change(Kind.HEALTH, amiss if after.troubles else "Healthy again."))
    return found


def _gates(before: GatesBlob | None, after: GatesBlob | None) -> Iterator[Change]:
    if before is None or after is None:
        return
    for name, flag in after.gates.items():
        if flag == before.gates.get(name, 0):
            continue
        why = "; ".join(words.gate(code) for code in after.reasons.get(name, []))
        yield Change(Kind.GATES, f"{name} opened." if flag else f"{name} closed: {why or 'it is not said why'}.")


def _holding(before: AllocatorStatus | None, after: AllocatorStatus | None) -> Iterator[Change]:
    if before is None or after is None or before.held == after.held:
        return
    why = words.allocated(after.reason)
    held = f"The allocator holds the weights as they are: {why}."
    yield Change(Kind.HOLDING, held if after.held else f"The allocator holds no more: {why}.")
