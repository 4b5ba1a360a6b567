"""The gate of one instrument: whether it may be traded, and if not, why.

A slot is judged (``judge``), the judgement steps the state (``step``), and what is true of the moment alone (``overlays``) is laid over
it without changing it (``published``)::

    Measured ──judge──▶ Verdict ──step──▶ GateState ──published──▶ flag, reasons
                           │                              ▲
                           └──────────── overlays ────────┘

State changes only with a judged slot: a weekend, an outage, an evaluation that failed or a restart neither grants nor loses a pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec

from hotbandd.core.documents import Floors, GateState, SpanSummary
from hotbandd.core.sessions import Calendar
from hotbandd.core.units import Flag

MAX_BUFFER = 0.30
MANIFOLD_MAX_AGE_MS = 300_000


class Reason(StrEnum):
    """Why a gate reads 0; the names are part of the contract."""

    TRADES_BELOW_FLOOR = "trades_below_floor"
    CALMAR_BELOW_FLOOR = "calmar_below_floor"
    PNL_BELOW_FLOOR = "pnl_below_floor"
    RECENT_LOSS = "recent_loss"
    AWAITING_CONSECUTIVE = "awaiting_consecutive"
    COOLDOWN = "cooldown"
    SESSION_CLOSED = "session_closed"
    SESSION_EXIT_WINDOW = "session_exit_window"
    PATTERN_NOT_REPEATED = "pattern_not_repeated"
    MANIFOLD_MISSING = "manifold_missing"
    MANIFOLD_STALE = "manifold_stale"
    INSUFFICIENT_HISTORY = "insufficient_history"
    SPAN_INTEGRITY = "span_integrity"
    EVALUATION_FAILED = "evaluation_failed"


class Outcome(StrEnum):
    """How a slot was judged."""

    PASS = "pass"  # noqa: S105  not a password
    FAIL = "fail"
    DEAD_BAND = "dead_band"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, kw_only=True)
class GateRules:
    """The rules that all gates share; the settings hold the defaults of those that can be set."""

    req_consec: int
    cooldown_sec: int
    exit_minutes: int
    misses_to_cool: int = 4
    manifold_max_age_ms: int = MANIFOLD_MAX_AGE_MS


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One back-test as its gate sees it: the 30-day and the 14-day slice of the same run.

    ``sufficient``: both slices' candles cover enough of their sessions. ``integrity``: the run's slices nest.
    """

    span: SpanSummary
    recent: SpanSummary
    floors: Floors
    buffer: float
    sufficient: bool
    integrity: bool


class Verdict(NamedTuple):
    """A judgement, and what keeps it from being a pass."""

    outcome: Outcome
    reasons: tuple[Reason, ...] = ()


def buffer(instrument: str, default: float, overrides: Mapping[str, float]) -> float:
    """Return the hysteresis buffer of an instrument, within [0, 0.30]."""
    return min(max(overrides.get(instrument, default), 0.0), MAX_BUFFER)


def judge(measured: Measured | None) -> Verdict:
    """Judge one evaluation; None is one that failed.

    With floor F of a metric: pass where every metric is >= F + buffer·|F| and the 14-day slice earned; fail where one is < F − buffer·|F|, or the
    14-day calmar is < −buffer; else dead band. Too little history and slices that do not nest are judged neither way.
    """
    if measured is None:
        return Verdict(Outcome.UNJUDGED, (Reason.EVALUATION_FAILED,))
    if not measured.integrity:
        return Verdict(Outcome.UNJUDGED, (Reason.SPAN_INTEGRITY,))
    if not measured.sufficient:
        return Verdict(Outcome.UNJUDGED, (Reason.INSUFFICIENT_HISTORY,))
    lacking = _lacking(measured)
    if not lacking:
        return Verdict(Outcome.PASS)
    return Verdict(Outcome.FAIL if _fails(measured) else Outcome.DEAD_BAND, lacking)


def steps(state: GateState, verdict: Verdict, slot: int, newest_candle: int) -> bool:
    """Tell whether a slot steps a gate, and belongs to its history: judged, on a new candle, and only once.

    ``newest_candle``: stamp of the newest candle that was judged, UTC epoch ms.
    """
    return verdict.outcome is not Outcome.UNJUDGED and slot > state.last_slot and newest_candle > state.last_candle


def step(
    state: GateState, verdict: Verdict, slot: int, rules: GateRules, *, newest_candle: int, param_key: str
) -> GateState:
    """Return the state after a slot.

    REQ_CONSEC passes enable, REQ_CONSEC fails disable. The fourth miss arms the cooldown, once: again only after the instrument has
    been eligible in between. Until it ends the gate is shut and counts nothing. New parameters reset the counters and leave ``eligible``.
    """
    if state.param_key != param_key:
        state = msgspec.structs.replace(state, param_key=param_key, passes=0, fails=0, misses=0)
    if not steps(state, verdict, slot, newest_candle):
        return state
    state = msgspec.structs.replace(state, last_slot=slot, last_candle=newest_candle)
    if in_cooldown(state, slot):
        return _shut(state)
    return _armed(_counted(state, verdict.outcome, rules), slot, rules)


def in_cooldown(state: GateState, now_ms: int) -> bool:
    """Tell whether a gate cools down at a moment."""
    return now_ms < state.cooldown_until


def overlays(
    instrument: str,
    now_ms: int,
    calendar: Calendar,
    rules: GateRules,
    *,
    manifold_ts: int | None,
    repeated: bool,
) -> list[Reason]:
    """Return what shuts a gate at this moment, whatever its state.

    ``now_ms`` is the clock's reading; ``manifold_ts`` the newest manifold's stamp, None where there is none; ``repeated`` tells whether the
    repetition guard is met.
    """
    reasons = []
    if not calendar.is_open(instrument, now_ms):
        reasons.append(Reason.SESSION_CLOSED)
    elif calendar.exit_window(instrument, now_ms, rules.exit_minutes):
        reasons.append(Reason.SESSION_EXIT_WINDOW)
    if not repeated:
        reasons.append(Reason.PATTERN_NOT_REPEATED)
    if manifold_ts is None:
        reasons.append(Reason.MANIFOLD_MISSING)
    elif now_ms - manifold_ts > rules.manifold_max_age_ms:
        reasons.append(Reason.MANIFOLD_STALE)
    return reasons


def published(state: GateState, verdict: Verdict, laid_over: Sequence[Reason], now_ms: int) -> tuple[Flag, list[str]]:
    """Return the flag that readers see and its reasons: at least one with a 0, none with a 1.

    ``verdict`` is the newest one; a shut gate shows what it lacks, and waits for consecutive passes where it lacks nothing.
    """
    reasons: list[Reason] = [Reason.COOLDOWN] if in_cooldown(state, now_ms) else []
    if not state.eligible or verdict.outcome is Outcome.UNJUDGED:
        reasons += verdict.reasons
    if not state.eligible and not reasons:
        reasons.append(Reason.AWAITING_CONSECUTIVE)
    reasons += laid_over
    return (0 if reasons else 1), [reason.value for reason in reasons]


def _lacking(measured: Measured) -> tuple[Reason, ...]:
    """Return what keeps an evaluation from a pass; a figure that is no number does."""
    buf = measured.buffer
    lacking = [reason for reason, value, floor in _figures(measured) if not value >= floor + buf * abs(floor)]
    if not measured.recent.pnl_total > 0.0:
        lacking.append(Reason.RECENT_LOSS)
    return tuple(lacking)


def _fails(measured: Measured) -> bool:
    lost = measured.recent.calmar < -measured.buffer
    return lost or any(value < floor - measured.buffer * abs(floor) for _, value, floor in _figures(measured))


def _figures(measured: Measured) -> tuple[tuple[Reason, float, float], ...]:
    span, floors = measured.span, measured.floors
    return (
        (Reason.TRADES_BELOW_FLOOR, span.trades, floors.min_trades),
        (Reason.CALMAR_BELOW_FLOOR, span.calmar, floors.calmar_min),
        (Reason.PNL_BELOW_FLOOR, span.pnl_total, floors.pnl_min),
    )


def _counted(state: GateState, outcome: Outcome, rules: GateRules) -> GateState:
    if outcome is Outcome.PASS:
        passed = msgspec.structs.replace(state, passes=state.passes + 1, fails=0, misses=0)
        return _enabled(passed) if passed.passes >= rules.req_consec else passed
    if outcome is Outcome.FAIL:
        fails = state.fails + 1
        eligible = state.eligible and fails < rules.req_consec
        return msgspec.structs.replace(state, passes=0, fails=fails, misses=state.misses + 1, eligible=eligible)
    return msgspec.structs.replace(state, passes=0, fails=0)


def _enabled(state: GateState) -> GateState:
    return msgspec.structs.replace(state, eligible=True, cooldown_spent=False)


def _armed(state: GateState, slot: int, rules: GateRules) -> GateState:
    """Arm the cooldown at the last miss that is allowed; a cooldown of 0 s is none."""
    if state.misses < rules.misses_to_cool or state.cooldown_spent or not rules.cooldown_sec:
        return state
    until = slot + rules.cooldown_sec * 1000
    return _shut(msgspec.structs.replace(state, cooldown_until=until, cooldown_spent=True))


def _shut(state: GateState) -> GateState:
    return msgspec.structs.replace(state, eligible=False, passes=0, fails=0, misses=0)
