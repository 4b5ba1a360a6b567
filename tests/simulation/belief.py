"""What a daemon was told by the server: what it may be held to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

BLOB, WEIGHTS, STATUS, KILL = (
    "opt:rolling:gates_blob",
    "risk:allocation_weights",
    "opt:allocator:status",
    "ops:kill_switch",
)
STATE, HISTORY, CANDLES = "opt:rolling:state:", "ws:manifold:hist:", "md:candles:"
STEP_MS = 75_000  # a step's deadline, and some time to answer


def document(raw: bytes | None, *fields: str) -> dict[str, Any] | None:
    """Decode a document of schema 1 with some fields; None where it is none."""
    try:
        found = msgspec.json.decode(raw or b"")
    except (msgspec.DecodeError, ValueError):
        return None
    good = isinstance(found, dict) and found.get("schema") == 1 and all(name in found for name in fields)
    return found if good else None


@dataclass
class Belief:
    """What one daemon was told, and when."""

    told: dict[str, tuple[int, bytes | None]] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)  # the newest point that was read of an instrument
    newest: dict[str, int] = field(default_factory=dict)  # the newest candle that was read from the store
    highest_epoch: int = 0
