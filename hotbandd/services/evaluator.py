"""The evaluator: every slot it back-tests each instrument strictly, steps its gate, and publishes all gates at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import anyio
import msgspec
import numpy as np
import structlog

from hotbandd.core import floors, gates, manifold, manifold_documents, repetition, schedule, spans
from hotbandd.core.candles import MINUTE_MS
from hotbandd.core.documents import EvaluationPoint, GatesBlob, GateState, Guard, RollingSummary
from hotbandd.core.entry_bounds import DailyBounds, EntryBounds
from hotbandd.core.gates import Reason, Verdict
from hotbandd.core.signature import signature_codes
from hotbandd.core.spans import Figures
from hotbandd.errors import CorruptPayloadError, HotbandError
from hotbandd.ports import Evaluation, Lease, LiveParams
from hotbandd.services.backtests import Backtests
from hotbandd.services.context import Context
from hotbandd.services.evaluations import Evaluations
from hotbandd.services.loop import Due
from hotbandd.services.parameters import ParametersInForce, Rules

log = structlog.get_logger()

FINISH_SEC = 30.0
DECIDING_SPAN, RECENT_SPAN = str(spans.JUDGED_SPAN), str(spans.RECENT_SPAN)


@dataclass(frozen=True, kw_only=True)
class EvaluatorRules(Rules):
    """What the evaluator needs of the settings; times in seconds unless the name says otherwise."""

    interval_sec: int
    lag_sec: float
    hot_days: int
    gate: gates.GateRules
    floors: floors.EnvFloors
    adaptive_share: float
    buffers: Mapping[str, float]
    bounds: EntryBounds
    family: manifold.Family
    precision: int
    levels: int
    lookback_min: int
    min_occurrences: int


class Evaluated(NamedTuple):
    """One instrument in one slot: the state after it, what was found, and what is to be kept of it."""

    state: GateState
    verdict: Verdict
    summary: RollingSummary | None
    point: EvaluationPoint | None


class Evaluator:
    """Steps every gate once per slot; at session boundaries in between, publishes them again as they read by then."""

    name = "evaluator"
    rank = 1

    def __init__(self, context: Context, rules: EvaluatorRules, live_params: LiveParams) -> None:
        self.rules = rules
        self._in_force = ParametersInForce(live_params, context.telemetry, self.name)
        self._market = context.market
        self._store = context.store
        self.backtests = Backtests(context.market, context.calendar, context.compute, rules.hot_days)
        self._clock = context.clock
        self._leadership = context.leadership
        self._latest = context.latest
        self._telemetry = context.telemetry
        self._calendar = context.calendar
        self._bounds = DailyBounds()
        self._epoch = -1
        self._published = 0
        self._slot = 0
        self._stepped = anyio.Event()
        self._states: dict[str, GateState] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._evaluations = Evaluations(context.store, context.leadership)
        self._summaries: dict[str, RollingSummary] = {}
        self.deadline_sec = max(60.0, rules.interval_sec / context.clock.speed)

    def first_after(self, now_ms: int) -> int:
        """Return the moment after which the first step is due: the latest past slot's, unless that or a later one was published here."""
        published = schedule.due_at(self._published, self.rules.lag_sec)
        return max(published, schedule.before_latest(now_ms, self.rules.interval_sec, self.rules.lag_sec))

    def next_due(self, now_ms: int) -> Due:
        """Return the next slot or session boundary, whichever comes first; both run after the decision lag."""
        rules = self.rules
        slot = schedule.next_slot(now_ms, rules.interval_sec, rules.lag_sec)
        reached = now_ms - (schedule.due_at(slot, rules.lag_sec) - slot)
        boundary = self._calendar.next_boundary(self._market.pairs, reached, rules.gate.exit_minutes)
        moment = min(slot, boundary)
        return Due(moment, schedule.due_at(moment, rules.lag_sec), stepping=moment == slot)

    async def step(self, due: Due) -> None:
        """Evaluate a slot, or lay the overlays of a boundary over the last one."""
        lease = await self._leadership.held()
        if lease.epoch != self._epoch:
            await self._restore()
            self._epoch = lease.epoch
        if due.stepping:
            await self._evaluate(lease, due.moment)
        elif self._verdicts:
            await self._publish(lease, due.moment, {})
        else:  # the lease is new: its first blob comes from a slot
            await self._evaluate(lease, schedule.slot_at_or_before(due.moment, self.rules.interval_sec))

    async def finished(self, moment: int) -> None:
        """Wait until the newest slot by a moment is published, within a bound."""
        slot = schedule.slot_at_or_before(moment, self.rules.interval_sec)
        with anyio.move_on_after(FINISH_SEC):
            while self._slot < slot:
                await self._stepped.wait()

    async def _restore(self) -> None:
        """Read the states that the gates were left in."""
        for pair in self._market.pairs:
            try:
                self._states[pair] = await self._store.gate_state(pair) or GateState()
            except CorruptPayloadError as error:  # unknown, so shut until fresh passes open it
                self._telemetry.loop_failed(self.name, type(error).__name__)
                log.warning("evaluator.corrupt", instrument=pair, error=str(error))
                self._states[pair] = GateState()
        self._verdicts.clear()
        self._evaluations.read_anew()
        self._summaries.clear()

    # ---- one slot

    async def _evaluate(self, lease: Lease, slot: int) -> None:
        await self._in_force.renew(self.rules)
        for pair in self._market.pairs:
            await self._evaluations.recall(lease, (pair, self._in_force.key(pair)), slot)
        found: dict[str, Evaluated] = {}

        async def one(pair: str) -> None:
            found[pair] = await self._evaluate_one(lease, pair, slot)

        async with anyio.create_task_group() as group:
            for pair in self._market.pairs:
                if self.backtests.here(self.rules.setup, self._in_force.params(pair)):
                    await one(pair)
                else:
                    group.start_soon(one, pair)
        await self._publish(lease, slot, {pair: found[pair] for pair in self._market.pairs})

    async def _evaluate_one(self, lease: Lease, pair: str, slot: int) -> Evaluated:
        """Evaluate one instrument; its fault is a reason of its gate, and does not reach the others."""
        state, key = self._states[pair], self._in_force.key(pair)
        series = self._market.series[pair]
        seen = series.span(slot).stop
        newest = series.opened(seen - 1) if seen else 0
        known = self._verdicts.get(pair)
        if known is not None and newest == state.last_candle and key == state.param_key:
            return Evaluated(state, known, self._again(lease, pair, slot), None)
        try:
            figures = await self.backtests.figures(pair, slot, self.rules.setup, self._in_force.params(pair))
        except (HotbandError, ValueError, ArithmeticError) as error:
            self._telemetry.loop_failed(self.name, type(error).__name__)
            log.warning("evaluator.failed", instrument=pair, slot=slot, error=str(error))
            return Evaluated(state, gates.judge(None), None, None)
        return self._judged(lease, pair, slot, key, newest, figures)

    def _again(self, lease: Lease, pair: str, slot: int) -> RollingSummary | None:
        """Return the last summary as of another slot: its figures stand while no candle comes."""
        last = self._summaries.get(pair)
        return last and msgspec.structs.replace(last, ts=slot, seq=slot, epoch=lease.epoch)

    def _judged(self, lease: Lease, pair: str, slot: int, key: str, newest: int, figures: Figures) -> Evaluated:
        rules, state = self.rules, self._states[pair]
        history = self._evaluations.before((pair, key), slot)
        own = floors.floors(rules.floors, history, rules.adaptive_share)
        span = figures.spans[DECIDING_SPAN]
        verdict = gates.judge(
            gates.Measured(
                span=span,
                recent=figures.spans[RECENT_SPAN],
                floors=own,
                buffer=rules.buffers[pair],
                sufficient=figures.sufficient[DECIDING_SPAN] and figures.sufficient[RECENT_SPAN],
                integrity=figures.integrity,
            )
        )
        stepped = gates.step(state, verdict, slot, rules.gate, newest_candle=newest, param_key=key)
        summary = RollingSummary(
            ts=slot,
            instrument=pair,
            params=self._in_force.params(pair),
            param_key=key,
            summary={name: found for name, found in figures.spans.items() if figures.sufficient[name]},
            gates=own,
            eligible=0,
            reasons=[],
            epoch=lease.epoch,
            seq=slot,
        )
        counts = gates.steps(state, verdict, slot, newest)
        point = EvaluationPoint(ts=slot, trades=span.trades, calmar=span.calmar, pnl_total=span.pnl_total)
        return Evaluated(stepped, verdict, summary if figures.integrity else None, point if counts else None)

    # ---- publication

    async def _publish(self, lease: Lease, moment: int, found: Mapping[str, Evaluated]) -> None:
        """Publish one blob for all instruments, and take over what was found once it is out."""
        stepping = bool(found)
        at = self._seen_at(moment)
        states = {pair: found[pair].state if stepping else self._states[pair] for pair in self._market.pairs}
        verdicts = {pair: found[pair].verdict if stepping else self._verdicts[pair] for pair in self._market.pairs}
        flags = {
            pair: gates.published(states[pair], verdicts[pair], self._overlays(pair, at), at)
            for pair in self._market.pairs
        }
        blob = GatesBlob(
            ts=moment,
            evaluated_ts=moment if stepping else self._slot,
            gates={pair: flag for pair, (flag, _) in flags.items()},
            cooldowns={pair: 1 if gates.in_cooldown(states[pair], at) else 0 for pair in states},
            bufs={pair: self.rules.buffers[pair] for pair in states},
            reasons={pair: reasons for pair, (_, reasons) in flags.items()},
            guards={pair: self._guard(pair, at) for pair in states},
            epoch=lease.epoch,
            seq=moment,
        )
        summaries = {
            pair: msgspec.structs.replace(one.summary, eligible=flags[pair][0], reasons=flags[pair][1])
            for pair, one in found.items()
            if one.summary is not None
        }
        points = {(pair, states[pair].param_key): one.point for pair, one in found.items() if one.point is not None}
        changed = {pair: states[pair] for pair in found}
        late_sec = max(0, self._clock.now() - moment) / 1000
        outcome = await self._store.publish_evaluation(lease, Evaluation(blob, changed, summaries, points, late_sec))
        self._leadership.accept(outcome, "the gates", lease)
        self._latest.gates = blob
        self._published = moment
        self._commit(moment, found, points)
        self._telemetry.evaluated(blob, states, summaries)
        self._telemetry.span_integrity(ok=not any(Reason.SPAN_INTEGRITY in one.reasons for one in verdicts.values()))
        self._telemetry.sessions({pair: self._calendar.is_open(pair, at) for pair in states})
        log.info(
            "evaluator.published",
            slot=moment,
            stepped=stepping,
            open=[pair for pair, flag in blob.gates.items() if flag],
        )

    def _commit(
        self, slot: int, found: Mapping[str, Evaluated], points: Mapping[tuple[str, str], EvaluationPoint]
    ) -> None:
        for pair, one in found.items():
            self._states[pair], self._verdicts[pair] = one.state, one.verdict
            if one.summary is not None:
                self._summaries[pair] = one.summary
            else:
                self._summaries.pop(pair, None)
        for key, point in points.items():
            self._evaluations.add(key, point)
        if found:
            self._slot = slot
            self._stepped.set()
            self._stepped = anyio.Event()

    def _seen_at(self, moment: int) -> int:
        """Return the moment that overlays are judged at: the step's own, or the present minute where it runs late, as at a start."""
        now = self._clock.now() - round(self.rules.lag_sec * 1000)
        return max(moment, now - now % MINUTE_MS)

    def _overlays(self, pair: str, moment: int) -> list[Reason]:
        rules = self.rules
        stamps, metrics = self._market.series[pair].recent(moment, rules.lookback_min + repetition.WINDOW_MIN)
        codes = signature_codes(rules.family, metrics, precision=rules.precision, levels=rules.levels)
        repeated = bool(stamps.size) and repetition.repetition_met(
            stamps,
            codes,
            float(metrics.hazard[-1]),
            moment,
            lookback_min=rules.lookback_min,
            min_occurrences=rules.min_occurrences,
        )
        newest = self._market.series[pair].measured_by(moment)
        return gates.overlays(pair, moment, self._calendar, rules.gate, manifold_ts=newest, repeated=repeated)

    def _guard(self, pair: str, moment: int) -> Guard | None:
        series = self._market.series[pair]
        stop = series.span(moment).stop
        metrics = series.measures(slice(max(0, stop - 1), stop))
        if not metrics.size or not np.isfinite(metrics.hazard[-1]):
            return None
        return manifold_documents.guard(metrics, self._bounds.newest(self.rules.bounds, pair, series, stop))
