"""Why a gate reads as it does, and what has to happen for it to flip: from what is published, in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from msgspec import Struct

from hotbandd.core.documents import AllocatorStatus, Floors, GatesBlob, GateState, Manifold, RollingSummary, Weights
from hotbandd.core.gates import GateRules, Measured, Outcome, Reason, Verdict, in_cooldown, judge
from hotbandd.core.manifold_documents import Bounds
from hotbandd.core.sessions import Calendar
from hotbandd.core.spans import JUDGED_SPAN, MIN_COVERAGE, RECENT_SPAN

_CODES: Final = frozenset(code.value for code in Reason)

WORDS: Final[Mapping[Reason, str]] = {
    Reason.TRADES_BELOW_FLOOR: "too few trades in 30 days",
    Reason.CALMAR_BELOW_FLOOR: "too little return for its drawdown in 30 days",
    Reason.PNL_BELOW_FLOOR: "too little return in 30 days",
    Reason.RECENT_LOSS: "it did not earn in the last 14 days",
    Reason.AWAITING_CONSECUTIVE: "it passes, but not often enough in a row yet",
    Reason.COOLDOWN: "it cools down after too many misses",
    Reason.SESSION_CLOSED: "its session is closed",
    Reason.SESSION_EXIT_WINDOW: "its session is about to close",
    Reason.PATTERN_NOT_REPEATED: "the pattern of the moment did not repeat often enough within the hour",
    Reason.MANIFOLD_MISSING: "there is no manifold",
    Reason.MANIFOLD_STALE: "its manifold is older than five minutes",
    Reason.INSUFFICIENT_HISTORY: "its candles cover too little of the sessions",
    Reason.SPAN_INTEGRITY: "the slices of its back-test do not nest",
    Reason.EVALUATION_FAILED: "its evaluation failed",
}

Stand = Literal["passes", "dead band", "fails"]


class Figure(Struct, frozen=True):
    """A figure against its floor: ``enable_at`` is what a pass asks for, under ``disable_at`` it fails."""

    name: str
    value: float
    floor: float
    origin: str
    enable_at: float
    disable_at: float
    stands: Stand


class Told(Struct, frozen=True):
    """A reason of the contract, in words."""

    code: str
    words: str


class Guarded(Struct, frozen=True):
    """The newest manifold against an entry bound."""

    name: str
    value: float
    bound: float
    met: bool


class Explanation(Struct, frozen=True, kw_only=True):
    """All that decides one gate at a moment; times in UTC epoch ms, None for what is not known.

    ``needed``: how many more passes (of a shut gate) or fails (of an open one) in a row flip it. ``flip``: what has to happen, in sentences.
    """

    instrument: str
    now: int
    gate: int | None
    evaluated_ts: int | None
    eligible: bool
    passes: int
    fails: int
    misses: int
    required: int
    needed: int
    cooldown_until: int | None
    session_open: bool
    session_changes_at: int | None
    buffer: float | None
    param_key: str | None
    outcome: str | None
    figures: list[Figure]
    reasons: list[Told]
    flip: list[str]
    guards: list[Guarded]
    manifold_ts: int | None
    weight: float | None
    held: str | None


class Known(Struct, frozen=True, kw_only=True):
    """What is published about an instrument; None for what is missing."""

    summary: RollingSummary | None
    state: GateState | None
    blob: GatesBlob | None
    manifold: Manifold | None
    weights: Weights | None
    status: AllocatorStatus | None


def explain(
    instrument: str, known: Known, rules: GateRules, interval_sec: int, bounds: Bounds, calendar: Calendar, now: int
) -> Explanation:
    """Explain a gate."""
    state = known.state or GateState()
    blob = known.blob if known.blob is not None and instrument in known.blob.gates else None
    buffer = None if blob is None else blob.bufs.get(instrument)
    measured = None if known.summary is None or buffer is None else _measured(known.summary, buffer)
    verdict = None if measured is None else judge(measured)
    open_now = calendar.is_open(instrument, now)
    needed = rules.req_consec - (state.fails if state.eligible else state.passes)
    codes = [] if blob is None else [Reason(code) for code in blob.reasons.get(instrument, []) if code in _CODES]
    return Explanation(
        instrument=instrument,
        now=now,
        gate=None if blob is None else blob.gates[instrument],
        evaluated_ts=None if known.summary is None else known.summary.ts,
        eligible=state.eligible,
        passes=state.passes,
        fails=state.fails,
        misses=state.misses,
        required=rules.req_consec,
        needed=needed,
        cooldown_until=state.cooldown_until if in_cooldown(state, now) else None,
        session_open=open_now,
        session_changes_at=calendar.closes_at(instrument, now) if open_now else calendar.opens_at(instrument, now),
        buffer=buffer,
        param_key=None if known.summary is None else known.summary.param_key,
        outcome=None if verdict is None else verdict.outcome.value,
        figures=[] if measured is None else _figures(measured),
        reasons=[Told(code.value, WORDS[code]) for code in codes],
        flip=_flip(state, measured, verdict, codes, needed, rules, interval_sec, now),
        guards=[] if known.manifold is None else _guards(known.manifold, bounds),
        manifold_ts=None if known.manifold is None else known.manifold.ts,
        weight=None if known.weights is None else known.weights.weights.get(instrument, 0.0),
        held=known.status.reason if known.status is not None and known.status.held else None,
    )


def _measured(summary: RollingSummary, buffer: float) -> Measured | None:
    """Put the evaluation together again as its gate saw it; None where the summary lacks a span."""
    span, recent = summary.summary.get(str(JUDGED_SPAN)), summary.summary.get(str(RECENT_SPAN))
    if span is None or recent is None:
        return None
    return Measured(
        span=span,
        recent=recent,
        floors=summary.gates,
        buffer=buffer,
        sufficient=min(span.coverage, recent.coverage) >= MIN_COVERAGE,
        integrity=Reason.SPAN_INTEGRITY.value not in summary.reasons,
    )


def _figures(measured: Measured) -> list[Figure]:
    floors, buf = measured.floors, measured.buffer
    rows = (
        ("trades, 30 days", float(measured.span.trades), floors.min_trades),
        ("calmar, 30 days", measured.span.calmar, floors.calmar_min),
        ("pnl, 30 days", measured.span.pnl_total, floors.pnl_min),
    )
    figures = [_figure(name, value, floor, _origin(floors), buf) for name, value, floor in rows]
    recent = measured.recent
    earned: Stand = "passes" if recent.pnl_total > 0.0 else "dead band"
    lost: Stand = "fails" if recent.calmar < -buf else "passes"
    return [
        *figures,
        Figure("pnl, 14 days", recent.pnl_total, 0.0, "must be above 0", 0.0, float("-inf"), earned),
        Figure("calmar, 14 days", recent.calmar, -buf, "the buffer below 0", -buf, -buf, lost),
    ]


def _figure(name: str, value: float, floor: float, origin: str, buf: float) -> Figure:
    enable, disable = floor + buf * abs(floor), floor - buf * abs(floor)
    stands: Stand = "passes" if value >= enable else "fails" if not value >= disable else "dead band"
    return Figure(name, value, floor, origin, enable, disable, stands)


def _origin(floors: Floors) -> str:
    if floors.adaptive:
        return f"settings, raised by the median of {floors.history} kept evaluations"
    return f"settings ({floors.history} kept evaluations raise none)"


def _guards(manifold: Manifold, bounds: Bounds) -> list[Guarded]:
    metrics, guard = manifold.metrics, manifold.guard
    return [
        Guarded("coherence", metrics.coherence, bounds.c_min, guard.coherence),
        Guarded("stability", metrics.stability, bounds.s_min, guard.stability),
        Guarded("entropy", metrics.entropy, bounds.h_max, guard.entropy),
        Guarded("rupture", metrics.rupture, bounds.r_max, guard.rupture),
        Guarded("hazard", manifold.coeffs.lambda_, bounds.hazard_max, guard.hazard),
    ]


def _flip(
    state: GateState,
    measured: Measured | None,
    verdict: Verdict | None,
    codes: list[Reason],
    needed: int,
    rules: GateRules,
    interval_sec: int,
    now: int,
) -> list[str]:
    """Say what has to happen for the gate to flip."""
    if measured is None or verdict is None:
        return ["Nothing is known of its last evaluation; see that hotbandd run leads and evaluates."]
    next_slot = _clock((now // (interval_sec * 1000) + 1) * interval_sec * 1000)
    if verdict.outcome is Outcome.UNJUDGED:
        return [f"{WORDS[verdict.reasons[0]].capitalize()}: until that changes nothing is counted, either way."]
    if state.eligible:
        laid_over = [f"It reads shut for the moment only: {WORDS[code]}." for code in codes]
        return [*laid_over, *_closing(measured, needed)]
    if in_cooldown(state, now):
        until = _clock(state.cooldown_until)
        return [f"Nothing counts until {until}; after that {rules.req_consec} passes in a row open it."]
    return _opening(measured, verdict, needed, next_slot)


def _opening(measured: Measured, verdict: Verdict, needed: int, next_slot: str) -> list[str]:
    times = "one pass more" if needed == 1 else f"{needed} passes in a row"
    if verdict.outcome is Outcome.PASS:
        return [f"It passes now; {times}, the next at {next_slot}, {'opens' if needed == 1 else 'open'} it."]
    wanted = [
        f"{figure.name} must {'be above' if figure.name == 'pnl, 14 days' else 'reach'} {figure.enable_at:.4g}, it is {figure.value:.4g}"
        for figure in _figures(measured)
        if figure.stands != "passes" and figure.name != "calmar, 14 days"
    ]
    return [f"For a pass {'; '.join(wanted)}.", f"Then {times} {'opens' if needed == 1 else 'open'} it."]


def _closing(measured: Measured, needed: int) -> list[str]:
    falls = [
        f"{figure.name} below {figure.disable_at:.4g} (it is {figure.value:.4g})"
        for figure in _figures(measured)
        if figure.name != "pnl, 14 days"
    ]
    times = "One fail more closes it" if needed == 1 else f"{needed} fails in a row close it"
    return [f"{times}: {', or '.join(falls)}."]


def _clock(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%H:%M UTC")
