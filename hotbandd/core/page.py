"""The page's document: how each of its parts is made of what is published, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from hotbandd.core import words
from hotbandd.core.allocation import AllocationRules
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Floats, Ints
from hotbandd.core.documents import AllocatorStatus, GatesBlob, Manifold, ManifoldPoint, Weights
from hotbandd.core.explanation import Explanation
from hotbandd.core.gates import GateRules
from hotbandd.core.market_hours import openings
from hotbandd.core.page_documents import (
    Allocation,
    Change,
    Day,
    Gates,
    Measured,
    Page,
    Row,
    Session,
    Sessions,
    Switch,
    Why,
)
from hotbandd.core.series import MetricColumns
from hotbandd.core.sessions import Calendar

STEP_MS: Final = 15 * MINUTE_MS
POINTS: Final = DAY_MS // STEP_MS
_AHEAD_MS: Final = 8 * DAY_MS  # a weekend and the holidays around it are shorter
_OPENINGS: Final = 4


UNKNOWN_SWITCH: Final = Switch(engaged=None, words="not known: it was never read")
PARTS: Final = ("daemon", "kill_switch", "sessions", "gates", "allocation")


def change(old: Page, new: Page) -> Change | None:
    """Return what is different in a newer page with the same instruments; None where nothing is."""
    found: dict[str, Any] = {name: getattr(new, name) for name in PARTS if getattr(new, name) != getattr(old, name)}
    for name in ("instruments", "days"):
        before, after = getattr(old, name), getattr(new, name)
        changed = {pair: one for pair, one in after.items() if before.get(pair) != one}
        if changed:
            found[name] = changed
    return Change(version=new.version, now=new.now, **found) if found else None


def sessions(calendar: Calendar, pairs: Sequence[str], now_ms: int, exit_minutes: int) -> Sessions:
    """Return the sessions that the instruments belong to, and their openings from today on."""
    start, end = now_ms - now_ms % DAY_MS, now_ms + _AHEAD_MS
    wanted = {currency for pair in pairs for currency in pair.split("_")}
    members: dict[str, list[str]] = {name: [] for name in calendar.windows}
    for currency in sorted(wanted & calendar.currencies.keys()):
        members[calendar.currencies[currency]].append(currency)
    found = [
        Session(
            name=name,
            currencies=currencies,
            openings=_pairs(openings(frozenset({calendar.windows[name]}), start, end)),
        )
        for name, currencies in members.items()
        if currencies
    ]
    week = _pairs(calendar.week_openings(now_ms, end))
    return Sessions(enabled=calendar.enabled, exit_minutes=exit_minutes, week=week, sessions=found)


def _pairs(rows: Ints) -> list[tuple[int, int]]:
    return [(first, last) for first, last in rows[:_OPENINGS].tolist()]


def gates(
    blob: GatesBlob | None, pairs: Sequence[str], rules: GateRules, *, max_age_sec: int, interval_sec: int, next_at: int
) -> Gates:
    """Return what is to be said of all gates together."""
    return Gates(
        ts=None if blob is None else blob.ts,
        evaluated_ts=None if blob is None else blob.evaluated_ts,
        max_age_sec=max_age_sec,
        interval_sec=interval_sec,
        next_at=next_at,
        misses_to_cool=rules.misses_to_cool,
        open=0 if blob is None else sum(blob.gates.get(pair, 0) for pair in pairs),
        of=len(pairs),
    )


def kill_switch(engaged: bool | None) -> Switch:  # noqa: FBT001  the value of the key
    """Return the kill switch."""
    return Switch(engaged=engaged, words=words.kill_switch(engaged))


def allocation_words(status: AllocatorStatus | None) -> str:
    """Say in a sentence what the allocator did last, and why."""
    if status is None:
        return "The allocator has not reported for two intervals."
    why = words.allocated(status.reason)
    if not status.held:
        return f"{why[:1].upper()}{why[1:]}."
    closed = f" A weight stands on a closed gate: {', '.join(status.held_closed)}." if status.held_closed else ""
    return f"It holds the weights as they are: {why}.{closed}"


def allocation(
    weights: Weights | None, status: AllocatorStatus | None, rules: AllocationRules, interval_sec: int, next_at: int
) -> Allocation:
    """Return what is to be said of the weights."""
    given = {} if weights is None else {name: weight for name, weight in weights.weights.items() if weight}
    return Allocation(
        ts=None if status is None else status.ts,
        weights_ts=None if weights is None else weights.ts,
        weights=given,
        total=sum(given.values()),
        target=rules.target,
        cap=rules.cap,
        top_k=rules.top_k,
        eligible=0 if status is None else status.eligible,
        held=status is not None and status.held,
        held_since=None if status is None else status.held_since,
        held_closed=[] if status is None else status.held_closed,
        hold_mode=rules.hold_mode,
        max_hold_sec=rules.max_hold_sec,
        reason=None if status is None else status.reason,
        words=allocation_words(status),
        interval_sec=interval_sec,
        next_at=next_at,
    )


def row(
    explained: Explanation,
    manifold: Manifold | None,
    weights: Weights | None,
    status: AllocatorStatus | None,
    candle_at: int | None,
) -> Row:
    """Return one instrument's row from the explanation of its gate."""
    name = explained.instrument
    return Row(
        gate=explained.gate,
        reasons=[Why(told.code, words.gate(told.code, brief=True), told.words) for told in explained.reasons],
        eligible=explained.eligible,
        passes=explained.passes,
        fails=explained.fails,
        misses=explained.misses,
        required=explained.required,
        needed=explained.needed,
        cooldown_until=explained.cooldown_until,
        session_open=explained.session_open,
        session_changes_at=explained.session_changes_at,
        buffer=explained.buffer,
        evaluated_ts=explained.evaluated_ts,
        param_key=explained.param_key,
        outcome=explained.outcome,
        figures=explained.figures,
        guards=explained.guards,
        flip=explained.flip,
        measured=None if manifold is None else _measured(manifold),
        candle_at=candle_at,
        weight=explained.weight,
        score=None if weights is None else weights.scores.get(name),
        selected=status is not None and name in status.selected,
        held_closed=status is not None and name in status.held_closed,
    )


def _measured(document: Manifold) -> Measured:
    metrics = document.metrics
    return Measured(
        ts=document.ts,
        price=document.price,
        C=metrics.coherence,
        S=metrics.stability,
        H=metrics.entropy,
        R=metrics.rupture,
        hazard=document.coeffs.lambda_,
    )


def day(stamps: Ints, metrics: MetricColumns, now_ms: int) -> Day:
    """Return an instrument's last day; ``stamps`` int64[n] are the closes that the metrics stand at, ascending."""
    end = now_ms - now_ms % STEP_MS
    edges = end - DAY_MS + STEP_MS * np.arange(POINTS + 1, dtype=np.int64)
    at = np.searchsorted(stamps, edges, side="right")
    columns = (metrics.coherence, metrics.stability, metrics.entropy, metrics.rupture)
    return Day(end=end, **{name: _means(values, at) for name, values in zip("CSHR", columns, strict=True)})


def _means(values: Floats, at: Ints) -> list[int | None]:
    """Return the mean of each stretch between two edges in percent."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    counts = np.diff(at)
    means = np.diff(sums[at]) / np.maximum(counts, 1)
    percents = np.rint(100 * means).astype(np.int64).tolist()
    return [percent if count else None for percent, count in zip(percents, counts.tolist(), strict=True)]


def columns(points: Sequence[ManifoldPoint]) -> tuple[Ints, MetricColumns]:
    """Return the stamps and metrics of history points."""
    rows = [(point.C, point.S, point.H, point.R, point.lambda_) for point in points]
    metrics = np.array(rows, dtype=np.float64).reshape(-1, len(MetricColumns._fields))
    return np.array([point.ts for point in points], dtype=np.int64), MetricColumns(*metrics.T)
