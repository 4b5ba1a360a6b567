"""The allocator's slot: from gates and metrics to weights, or to a hold of the weights that stand.

An instrument without a weight is left out of the weights: no document holds a 0. How the rules meet, from the outermost in:

- A removed instrument loses its weight at once, whatever else is true; so does whatever exceeds a cap or target that was lowered.
- A hold keeps what is left. Over a usable blob it also lets closed gates go: at once in ``reduce_only``, after ``max_hold_sec`` otherwise. Over an
  unusable blob nobody knows which gates are closed, so none go, and the time counts on. A hold never raises a weight, engaged switch or not.
- An engaged kill switch takes the smaller of new and previous weight, then ``min_change`` is measured: on what readers would see, against what
  they see. So a frozen book does not wear down by small steps.
- With nothing published before, a hold publishes empty weights; afterwards those are what it holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, NamedTuple

from hotbandd.core import apportionment
from hotbandd.core.apportionment import Micros
from hotbandd.core.candles import MINUTE_MS
from hotbandd.core.documents import AllocatorStatus, GatesBlob, ManifoldPoint, Weights
from hotbandd.core.gates import MANIFOLD_MAX_AGE_MS

FUTURE_TOLERANCE_MS = 5_000


class Reason(StrEnum):
    """Why the allocator decided as it did."""

    ALLOCATED = "allocated"
    UNCHANGED = "unchanged"
    TOO_FEW_CANDIDATES = "too_few_candidates"
    NO_SCORE = "no_score"
    GATES_MISSING = "gates_missing"
    GATES_MALFORMED = "gates_malformed"
    GATES_LOWER_EPOCH = "gates_lower_epoch"
    GATES_FUTURE = "gates_future"
    GATES_STALE = "gates_stale"


@dataclass(frozen=True, kw_only=True)
class AllocationRules:
    """The allocator's settings; weights of the score, and bounds as shares of the book."""

    top_k: int
    target: float
    cap: float
    w_c: float
    w_s: float
    w_r: float
    w_h: float
    w_hazard: float
    incumbent_bonus: float
    min_change: float
    hold_mode: Literal["hold", "reduce_only"]
    max_hold_sec: int
    redistribute: bool
    gates_max_age_sec: int


class Candidate(NamedTuple):
    """An instrument with a fresh manifold, and its metrics averaged over the score window."""

    instrument: str
    coherence: float
    stability: float
    entropy: float
    rupture: float
    hazard: float


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What one slot of the allocator knows.

    ``blob`` with its ``fault``, None where it can be used; ``previous`` weights as published and last ``status``, None where there is none;
    ``candidates``: at least those with an open gate and a fresh manifold; ``pairs``: HOTBAND_PAIRS; ``kill_switch``: whether it is
    engaged, as it is too where it is missing or unreadable.
    """

    slot: int
    pairs: Collection[str]
    blob: GatesBlob | None
    fault: Reason | None
    candidates: Sequence[Candidate]
    previous: Weights | None
    status: AllocatorStatus | None
    kill_switch: bool


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one slot decides.

    ``weights``: to publish, with ``gates_ts`` and ``scores`` (those that the weights come from); None publishes nothing. ``eligible`` counts
    the gates that are open in a usable blob; ``selected`` are the top K, none while held; ``held_closed`` keep a weight on a closed gate, as far
    as a usable blob tells.
    """

    weights: dict[str, float] | None
    gates_ts: int
    scores: dict[str, float]
    reason: Reason
    eligible: int
    selected: list[str]
    held: bool
    held_since: int | None
    held_closed: list[str]


def candidate(
    instrument: str, points: Sequence[ManifoldPoint], manifold_ts: int | None, now_ms: int, window_min: int
) -> Candidate | None:
    """Average an instrument's metrics over the last minutes; None without a manifold younger than 300 s, or without a point."""
    if manifold_ts is None or now_ms - manifold_ts >= MANIFOLD_MAX_AGE_MS:
        return None
    rows = [(p.C, p.S, p.H, p.R, p.lambda_) for p in points if now_ms - window_min * MINUTE_MS < p.ts <= now_ms]
    if not rows:
        return None
    return Candidate(instrument, *(sum(column) / len(rows) for column in zip(*rows, strict=True)))


def blob_fault(blob: GatesBlob | None, now_ms: int, rules: AllocationRules, highest_epoch_seen: int) -> Reason | None:
    """Return why a blob cannot be used, or None where it can.

    Both its stamps count: one that was only published again, at a session's boundary, is as old as the slot that stepped its gates.
    """
    if blob is None:
        return Reason.GATES_MISSING
    if blob.epoch < highest_epoch_seen:
        return Reason.GATES_LOWER_EPOCH
    if max(blob.ts, blob.evaluated_ts) > now_ms + FUTURE_TOLERANCE_MS:
        return Reason.GATES_FUTURE
    if now_ms - min(blob.ts, blob.evaluated_ts) > rules.gates_max_age_sec * 1000:
        return Reason.GATES_STALE
    return None


def score(candidate: Candidate, rules: AllocationRules) -> float:
    """Return how much an instrument is worth a weight, at least 0; rounded to 12 decimals, so that equal metrics tie whatever floats do."""
    metrics = (candidate.coherence, candidate.stability, 1 - candidate.rupture, 1 - candidate.entropy)
    worth = sum(w * x for w, x in zip((rules.w_c, rules.w_s, rules.w_r, rules.w_h), metrics, strict=True))
    return max(0.0, round(worth - rules.w_hazard * candidate.hazard, 12))


def allocate(situation: Situation, rules: AllocationRules) -> Decision:
    """Decide one slot; the module's docstring says how the rules meet."""
    blob = situation.blob
    if blob is None or situation.fault is not None:
        return _unusable(situation, rules)
    open_gates = frozenset(name for name in situation.pairs if blob.gates.get(name) == 1)
    scores = {c.instrument: score(c, rules) for c in situation.candidates if c.instrument in open_gates}
    selected = _selected(scores, situation, rules)
    if len(selected) < min(rules.top_k, len(situation.pairs)):
        return _held(situation, rules, Reason.TOO_FEW_CANDIDATES, blob.ts, open_gates)
    if not any(scores[name] for name in selected):
        return _held(situation, rules, Reason.NO_SCORE, blob.ts, open_gates)
    return _allocated(situation, rules, scores, selected, blob.ts, len(open_gates))


def _selected(scores: Mapping[str, float], situation: Situation, rules: AllocationRules) -> list[str]:
    """Return the best candidates, at most K of them; one that holds a weight ranks above its score."""
    incumbents = _published(situation)
    rank = {name: s * (1 + rules.incumbent_bonus if name in incumbents else 1) for name, s in scores.items()}
    return sorted(rank, key=lambda name: (-rank[name], name))[: min(rules.top_k, len(situation.pairs))]


def _allocated(
    situation: Situation,
    rules: AllocationRules,
    scores: dict[str, float],
    selected: list[str],
    gates_ts: int,
    eligible: int,
) -> Decision:
    new = apportionment.apportion(
        {name: scores[name] for name in selected},
        target=rules.target,
        cap=rules.cap,
        redistribute=rules.redistribute,
    )
    if situation.kill_switch:
        new = apportionment.smaller(new, _published(situation))
    decision = Decision(
        weights=apportionment.to_weights(new),
        gates_ts=gates_ts,
        scores=scores,
        reason=Reason.ALLOCATED,
        eligible=eligible,
        selected=selected,
        held=False,
        held_since=None,
        held_closed=[],
    )
    return _settled(decision, new, situation, rules)


def _settled(decision: Decision, new: Micros, situation: Situation, rules: AllocationRules) -> Decision:
    """Let the previous weights stand where little changes and they still meet the bounds."""
    previous, old = situation.previous, _published(situation)
    if previous is None or old != _lawful(situation, rules) or apportionment.moved(new, old, rules.min_change):
        return decision
    return replace(
        decision, weights=apportionment.to_weights(old), scores=dict(previous.scores), reason=Reason.UNCHANGED
    )


def _unusable(situation: Situation, rules: AllocationRules) -> Decision:
    """Hold over a blob that cannot be used: gates are unknown, so none counts as closed, and the weights keep their origin."""
    gates_ts = situation.previous.gates_ts if situation.previous else 0
    return _held(situation, rules, situation.fault or Reason.GATES_MISSING, gates_ts, None)


def _held(
    situation: Situation, rules: AllocationRules, reason: Reason, gates_ts: int, open_gates: frozenset[str] | None
) -> Decision:
    """Hold the previous weights; ``open_gates`` is None where they are not known."""
    since = _held_since(situation)
    kept = _lawful(situation, rules)
    if open_gates is not None and _lets_go(situation.slot - since, rules):
        kept = {name: weight for name, weight in kept.items() if name in open_gates}
    previous = situation.previous
    unchanged = previous is not None and kept == _published(situation)
    return Decision(
        weights=None if unchanged else apportionment.to_weights(kept),
        gates_ts=gates_ts,
        scores={name: s for name, s in previous.scores.items() if name in kept} if previous else {},
        reason=reason,
        eligible=len(open_gates or ()),
        selected=[],
        held=True,
        held_since=since,
        held_closed=[] if open_gates is None else sorted(kept.keys() - open_gates),
    )


def _lets_go(held_ms: int, rules: AllocationRules) -> bool:
    """Tell whether a hold drops closed gates by now."""
    overdue = rules.max_hold_sec > 0 and held_ms >= rules.max_hold_sec * 1000
    return rules.hold_mode == "reduce_only" or overdue


def _held_since(situation: Situation) -> int:
    """Return the first slot of the hold; where no status is left to tell, the weights' own stamp, after which nothing was published."""
    status, previous = situation.status, situation.previous
    if status is None:
        return min(previous.ts, situation.slot) if previous else situation.slot
    return status.held_since if status.held and status.held_since is not None else situation.slot


def _published(situation: Situation) -> Micros:
    """Return the weights that readers see."""
    return apportionment.of_weights(situation.previous.weights) if situation.previous else {}


def _lawful(situation: Situation, rules: AllocationRules) -> Micros:
    """Return as much of the published weights as pairs, cap and target of today allow."""
    known = {name: weight for name, weight in _published(situation).items() if name in situation.pairs}
    return apportionment.bounded(known, target=rules.target, cap=rules.cap)
