"""Why a gate reads as it does, and what has to happen for it to flip: from what is published, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from hotbandd.core import words
from hotbandd.core.documents import AllocatorStatus, GatesBlob, GateState, Manifold, RollingSummary, Weights
from hotbandd.core.entry_bounds import EntryBounds
from hotbandd.core.floors import MIN_HISTORY, EnvFloors
from hotbandd.core.gates import GateRules, Measured, Outcome, Reason, Verdict, in_cooldown, judge
from hotbandd.core.manifold_documents import Bounds
from hotbandd.core.sessions import Calendar
from hotbandd.core.spans import JUDGED_SPAN, MIN_COVERAGE, RECENT_SPAN
from hotbandd.core.thresholds import Threshold

AT_LEAST: Final = frozenset({"coherence", "stability"})  # guards that are lower bounds
_CODES: Final = frozenset(code.value for code in Reason)

Stand = Literal["passes", "dead band", "fails"]


class Figure(Struct, frozen=True):
    """A figure against its floor: ``enable_at`` is what a pass asks for, under ``disable_at`` it fails (None: never); ``origin``: what set the floor.

    ``margin``: how far the figure lies above what decides now, ``disable_at`` of an open gate, ``enable_at`` of a shut one.
    """

    name: str
    value: float
    floor: float
    origin: str
    enable_at: float
    disable_at: float | None
    stands: Stand
    margin: float = 0.0


class Told(Struct, frozen=True):
    """A reason of the contract, in words."""

    code: str
    words: str


class Guarded(Struct, frozen=True):
    """The newest manifold against an entry bound: ``spec`` as set, ``bound`` the number, None where only the daemon knows it.

    ``margin``: how far inside of the bound the value lies.
    """

    name: str
    value: float
    spec: str
    bound: float | None
    margin: float | None
    met: bool


@dataclass(frozen=True)
class Rulebook:
    """What the evaluator judges by: rules of the gate, its interval, the settings' floors and their adaptive share, entry bounds.

    ``bounds`` are those of ``specs`` as numbers, NaN where a percentile is not known here.
    """

    gate: GateRules
    interval_sec: int
    floors: EnvFloors
    adaptive_share: float
    specs: EntryBounds
    bounds: Bounds


class Explanation(Struct, frozen=True, kw_only=True):
    """All that decides one gate at a moment; times in UTC epoch ms, None for what is not known.

    ``needed``: how many more passes (of a shut gate) or fails (of an open one) in a row flip it. ``flip``: what has to happen, in sentences.
    ``replayed_from``: where the replay began that all this comes from, None where it is what a daemon published.
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
    replayed_from: int | None = None


class Known(Struct, frozen=True, kw_only=True):
    """What is published about an instrument; None for what is missing."""

    summary: RollingSummary | None
    state: GateState | None
    blob: GatesBlob | None
    manifold: Manifold | None
    weights: Weights | None
    status: AllocatorStatus | None


def explain(instrument: str, known: Known, rulebook: Rulebook, calendar: Calendar, now: int) -> Explanation:
    """Explain a gate."""
    rules = rulebook.gate
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
        figures=[] if measured is None else _figures(measured, rulebook, state),
        reasons=[Told(code.value, words.GATE[code]) for code in codes],
        flip=_flip(state, measured, verdict, codes, needed, rulebook, now),
        guards=[] if known.manifold is None else _guards(known.manifold, rulebook),
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


def _figures(measured: Measured, rulebook: Rulebook, state: GateState) -> list[Figure]:
    floors, buf, env, share = measured.floors, measured.buffer, rulebook.floors, rulebook.adaptive_share
    rows = (
        ("trades, 30 days", float(measured.span.trades), floors.min_trades, env.min_trades, "EVAL_MIN_TRADES", share),
        ("calmar, 30 days", measured.span.calmar, floors.calmar_min, env.calmar_min, "EVAL_CALMAR_MIN", share / 2),
        ("pnl, 30 days", measured.span.pnl_total, floors.pnl_min, env.pnl_min, "EVAL_PNL_MIN", share),
    )
    figures = [
        _figure(name, value, floor, _origin(setting, own, floor, part, floors.history), buf)
        for name, value, floor, own, setting, part in rows
    ]
    recent = measured.recent
    earned: Stand = "passes" if recent.pnl_total > 0.0 else "dead band"
    lost: Stand = "fails" if recent.calmar < -buf else "passes"
    figures += [
        Figure("pnl, 14 days", recent.pnl_total, 0.0, "must be above 0", 0.0, None, earned),
        Figure("calmar, 14 days", recent.calmar, -buf, "the buffer below 0", -buf, -buf, lost),
    ]
    return [replace(figure, margin=_margin(figure, state)) for figure in figures]


def _margin(figure: Figure, state: GateState) -> float:
    closing = figure.disable_at if state.eligible else None
    return figure.value - (figure.enable_at if closing is None else closing)


def _figure(name: str, value: float, floor: float, origin: str, buf: float) -> Figure:
    enable, disable = floor + buf * abs(floor), floor - buf * abs(floor)
    stands: Stand = "passes" if value >= enable else "fails" if not value >= disable else "dead band"
    return Figure(name, value, floor, origin, enable, disable, stands)


def _origin(setting: str, own: float, floor: float, share: float, history: int) -> str:
    if floor != own:
        return f"{share:g} × the median of {history} evaluations"
    if history < MIN_HISTORY:
        return f"{setting} ({history} of {MIN_HISTORY} evaluations kept)"
    return f"{setting} ({share:g} × the median of {history} is less)"


def _guards(manifold: Manifold, rulebook: Rulebook) -> list[Guarded]:
    metrics, guard, specs, bounds = manifold.metrics, manifold.guard, rulebook.specs, rulebook.bounds
    rows = (
        ("coherence", metrics.coherence, specs.c_min, bounds.c_min, guard.coherence),
        ("stability", metrics.stability, specs.s_min, bounds.s_min, guard.stability),
        ("entropy", metrics.entropy, specs.h_max, bounds.h_max, guard.entropy),
        ("rupture", metrics.rupture, specs.r_max, bounds.r_max, guard.rupture),
        ("hazard", manifold.coeffs.lambda_, specs.hazard_max, bounds.hazard_max, guard.hazard),
    )
    return [_guarded(*row) for row in rows]


def _guarded(name: str, value: float, spec: Threshold, bound: float, met: bool) -> Guarded:  # noqa: FBT001  a column
    if isnan(bound):
        return Guarded(name, value, str(spec), None, None, met)
    margin = value - bound if name in AT_LEAST else bound - value
    return Guarded(name, value, f"{spec:g}" if isinstance(spec, float) else str(spec), bound, margin, met)


def _flip(
    state: GateState,
    measured: Measured | None,
    verdict: Verdict | None,
    codes: list[Reason],
    needed: int,
    rulebook: Rulebook,
    now: int,
) -> list[str]:
    """Say what has to happen for the gate to flip."""
    rules, interval_sec = rulebook.gate, rulebook.interval_sec
    if measured is None or verdict is None:
        return ["Nothing is known of its last evaluation; see that hotbandd run leads and evaluates."]
    next_slot = _clock((now // (interval_sec * 1000) + 1) * interval_sec * 1000)
    if verdict.outcome is Outcome.UNJUDGED:
        return [f"{words.GATE[verdict.reasons[0]].capitalize()}: until that changes nothing is counted, either way."]
    if state.eligible:
        laid_over = [f"It reads shut for the moment only: {words.GATE[code]}." for code in codes]
        return [*laid_over, *_closing(_figures(measured, rulebook, state), needed)]
    if in_cooldown(state, now):
        until = _clock(state.cooldown_until)
        return [f"Nothing counts until {until}; after that {rules.req_consec} passes in a row open it."]
    return _opening(_figures(measured, rulebook, state), verdict, needed, next_slot)


def _opening(figures: list[Figure], verdict: Verdict, needed: int, next_slot: str) -> list[str]:
    times = "one pass more" if needed == 1 else f"{needed} passes in a row"
    if verdict.outcome is Outcome.PASS:
        return [f"It passes now; {times}, the next at {next_slot}, {'opens' if needed == 1 else 'open'} it."]
    wanted = [
        f"{figure.name} must {'be above' if figure.name == 'pnl, 14 days' else 'reach'} {figure.enable_at:.4g}, it is {figure.value:.4g}"
        for figure in figures
        if figure.stands != "passes" and figure.name != "calmar, 14 days"
    ]
    return [f"For a pass {'; '.join(wanted)}.", f"Then {times} {'opens' if needed == 1 else 'open'} it."]


def _closing(figures: list[Figure], needed: int) -> list[str]:
    falls = [
        f"{figure.name} below {figure.disable_at:.4g} (it is {figure.value:.4g})"
        for figure in figures
        if figure.disable_at is not None
    ]
    times = "One fail more closes it" if needed == 1 else f"{needed} fails in a row close it"
    return [f"{times}: {', or '.join(falls)}."]


def _clock(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%H:%M UTC")
