"""Reasons, ages and countdowns in words: one place for the page, the terminal, the explanation and messages."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from hotbandd.core import allocation, gates

_Reason = TypeVar("_Reason", bound=StrEnum)

GATE: Final[Mapping[gates.Reason, str]] = {
    gates.Reason.TRADES_BELOW_FLOOR: "too few trades in 30 days",
    gates.Reason.CALMAR_BELOW_FLOOR: "too little return for its drawdown in 30 days",
    gates.Reason.PNL_BELOW_FLOOR: "too little return in 30 days",
    gates.Reason.RECENT_LOSS: "it did not earn in the last 14 days",
    gates.Reason.AWAITING_CONSECUTIVE: "it passes, but not often enough in a row yet",
    gates.Reason.COOLDOWN: "it cools down after too many misses",
    gates.Reason.SESSION_CLOSED: "its session is closed",
    gates.Reason.SESSION_EXIT_WINDOW: "its session is about to close",
    gates.Reason.PATTERN_NOT_REPEATED: "the pattern of the moment did not repeat often enough within the hour",
    gates.Reason.MANIFOLD_MISSING: "there is no manifold",
    gates.Reason.MANIFOLD_STALE: "its manifold is older than five minutes",
    gates.Reason.INSUFFICIENT_HISTORY: "its candles cover too little of the sessions",
    gates.Reason.SPAN_INTEGRITY: "the slices of its back-test do not nest",
    gates.Reason.EVALUATION_FAILED: "its evaluation failed",
}
"""Why a gate is shut; each completes "It is shut: …"."""

GATE_BRIEF: Final[Mapping[gates.Reason, str]] = {
    gates.Reason.TRADES_BELOW_FLOOR: "too few trades",
    gates.Reason.CALMAR_BELOW_FLOOR: "calmar too low",
    gates.Reason.PNL_BELOW_FLOOR: "return too low",
    gates.Reason.RECENT_LOSS: "no gain in 14 days",
    gates.Reason.AWAITING_CONSECUTIVE: "waits for another pass",
    gates.Reason.COOLDOWN: "cools down",
    gates.Reason.SESSION_CLOSED: "session closed",
    gates.Reason.SESSION_EXIT_WINDOW: "session about to close",
    gates.Reason.PATTERN_NOT_REPEATED: "pattern not repeated",
    gates.Reason.MANIFOLD_MISSING: "no manifold",
    gates.Reason.MANIFOLD_STALE: "manifold old",
    gates.Reason.INSUFFICIENT_HISTORY: "too little history",
    gates.Reason.SPAN_INTEGRITY: "back-test's slices do not nest",
    gates.Reason.EVALUATION_FAILED: "evaluation failed",
}
"""The same where there is little room."""

ALLOCATION: Final[Mapping[allocation.Reason, str]] = {
    allocation.Reason.ALLOCATED: "new weights",
    allocation.Reason.UNCHANGED: "the weights would hardly change",
    allocation.Reason.TOO_FEW_CANDIDATES: "too few open gates with a fresh manifold",
    allocation.Reason.NO_SCORE: "no open gate scores above 0",
    allocation.Reason.GATES_MISSING: "there are no gates",
    allocation.Reason.GATES_MALFORMED: "the gates cannot be read",
    allocation.Reason.GATES_LOWER_EPOCH: "the gates are of a leader that was deposed",
    allocation.Reason.GATES_FUTURE: "the gates are of the future",
    allocation.Reason.GATES_STALE: "the gates are too old",
}
"""Why the allocator did what it did in its last slot."""

_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000


def gate(code: str, *, brief: bool = False) -> str:
    """Return a gate's reason in words; of a code that is not known here, its own."""
    return _of(GATE_BRIEF if brief else GATE, gates.Reason, code)


def allocated(code: str) -> str:
    """Return the allocator's reason in words; of a code that is not known here, its own."""
    return _of(ALLOCATION, allocation.Reason, code)


def kill_switch(engaged: bool | None) -> str:  # noqa: FBT001  the value of the key
    """Return the state of the kill switch; None: the key is missing."""
    return {True: "engaged: no weight rises", False: "released", None: "missing, counts as engaged: no weight rises"}[
        engaged
    ]


def duration(milliseconds: int) -> str:
    """Return a span of time, rounded down, in its two greatest units: 42 s, 5 min, 2 h 10 min, 3 d 4 h."""
    span = max(0, milliseconds)
    if span < _MINUTE:
        return f"{span // _SECOND} s"
    if span < _HOUR:
        return f"{span // _MINUTE} min"
    if span < _DAY:
        return _two(span // _HOUR, "h", span % _HOUR // _MINUTE, "min")
    return _two(span // _DAY, "d", span % _DAY // _HOUR, "h")


def countdown(milliseconds: int) -> str:
    """Return a time that is left, to the second below an hour, as 4:07, and as ``duration`` says it above."""
    left = max(0, milliseconds)
    return f"{left // _MINUTE}:{left % _MINUTE // _SECOND:02d}" if left < _HOUR else duration(left)


def _two(great: int, unit: str, small: int, small_unit: str) -> str:
    return f"{great} {unit} {small} {small_unit}" if small else f"{great} {unit}"


def _of(words: Mapping[_Reason, str], kind: type[_Reason], code: str) -> str:
    try:
        return words[kind(code)]
    except ValueError:
        return code.replace("_", " ")
