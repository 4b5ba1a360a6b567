"""Gates: stepped once per slot whatever crashes, published for all instruments at once, shut at sessions' ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from hotbandd import parts
from hotbandd.core import schedule
from hotbandd.core.candles import MINUTE_MS
from hotbandd.core.documents import EvaluationPoint, GatesBlob, GateState, SpanSummary, encode
from hotbandd.errors import ComputeError, FencedError, InputError, StoreUnreachableError
from hotbandd.ports import Evaluation
from hotbandd.services.loop import Due
from hotbandd.services.parameters import ParametersInForce
from tests.services.scenes import (
    BAD,
    DEAD,
    EVAL_MS,
    FOR_EVER,
    GOOD,
    LAG_MS,
    NOW,
    PAIRS,
    SHORT,
    HandClock,
    ScriptedBacktests,
    ScriptedSource,
    ShakyStore,
    calm,
    desk_of,
    recorded,
    settings_of,
    store_of,
)

EUR, GBP, AUD = PAIRS
KEY = "c0.55:l12:t2:ec60:xc60"
EVENING = NOW + 33 * EVAL_MS  # 20:45 UTC: the last slot before the exit window of New York


class Stage:
    """One desk over calm series and scripted back-tests, and a clock that is moved by hand."""

    def __init__(self, outcome: Callable[[str, int], SpanSummary] = lambda pair, end: GOOD, **given: object) -> None:
        self.settings = settings_of(**given)
        self.clock = HandClock()
        self.store = ShakyStore(store_of(self.settings, self.clock))
        self.outcome = outcome

    async def start(self, holder: str = "test") -> Stage:
        source = ScriptedSource({})
        self.desk = await desk_of(self.settings, self.clock, self.store, source, holder=holder)
        self.backtests = self.desk.evaluator.backtests = ScriptedBacktests(self.desk, self.outcome)
        return self

    async def slot(self, moment: int, *, candles: bool = True) -> GatesBlob:
        """Run a slot (or a boundary) on candles up to it, and return what is in the store after it."""
        if candles:
            for series in self.desk.context.market.series.values():
                calm(series, moment)
        self.clock.moment = max(self.clock.moment, moment + LAG_MS)
        stepping = moment == schedule.slot_at_or_before(moment, self.settings.eval_interval_sec)
        await self.desk.evaluator.step(Due(moment, moment + LAG_MS, stepping=stepping))
        return await self.blob()

    async def blob(self) -> GatesBlob:
        blob = await self.store.gates_blob()
        assert blob is not None
        return blob

    async def state(self, pair: str = EUR) -> GateState:
        return await self.store.gate_state(pair) or GateState()

    async def garbage(self, key: str) -> None:
        await self.store.inner._backend.set(key, b'{"schema":1,"passes":"many"}')

    async def regain(self) -> None:
        self.desk.context.leadership.lose()
        self.desk.context.leadership.gain(await self.store.acquire_lease("test", FOR_EVER))


async def test_a_gate_opens_after_consecutive_passes_and_shuts_after_consecutive_fails():
    turn = NOW + 4 * EVAL_MS
    stage = await Stage(lambda pair, end: GOOD if end < turn else BAD, req_consec=3).start()
    flags = [(await stage.slot(NOW + k * EVAL_MS)).gates[EUR] for k in range(8)]
    assert flags == [0, 0, 1, 1, 1, 1, 0, 0]


async def test_the_blob_names_every_instrument_and_a_reason_for_each_0():
    outcomes = {EUR: GOOD, GBP: BAD, AUD: SHORT}
    stage = await Stage(lambda pair, end: outcomes[pair]).start()
    await stage.slot(NOW)
    blob = await stage.slot(NOW + EVAL_MS)
    assert blob.ts == blob.evaluated_ts == NOW + EVAL_MS
    assert blob.gates == {EUR: 1, GBP: 0, AUD: 0}
    assert blob.reasons == {
        EUR: [],
        GBP: ["calmar_below_floor", "pnl_below_floor", "recent_loss"],
        AUD: ["insufficient_history"],
    }
    assert blob.cooldowns == dict.fromkeys(PAIRS, 0)
    assert blob.bufs == dict.fromkeys(PAIRS, 0.1)
    assert all(guard is not None and guard.coherence for guard in blob.guards.values())


async def test_an_instrument_that_waits_for_a_second_pass_says_so():
    blob = await (await Stage().start()).slot(NOW)
    assert blob.reasons == {pair: ["awaiting_consecutive"] for pair in PAIRS}


async def test_summaries_tell_the_flag_its_reasons_and_the_spans_that_are_covered():
    stage = await Stage(lambda pair, end: SHORT if pair == AUD else GOOD).start()
    await stage.slot(NOW)
    await stage.slot(NOW + EVAL_MS)
    summary = await stage.store.summary(EUR)
    assert (summary.eligible, summary.reasons, summary.ts, summary.param_key) == (1, [], NOW + EVAL_MS, KEY)
    assert set(summary.summary) == {"14", "30", "60"}
    assert summary.summary["30"] == GOOD
    short = await stage.store.summary(AUD)
    assert (short.eligible, short.reasons, short.summary) == (0, ["insufficient_history"], {})


async def test_every_judged_slot_leaves_one_point_of_history():
    stage = await Stage(lambda pair, end: SHORT if pair == AUD else GOOD).start()
    slots = [NOW + k * EVAL_MS for k in range(3)]
    for slot in slots:
        await stage.slot(slot)
        await stage.slot(slot)
    points = await stage.store.evaluation_points(EUR, KEY, 0, FOR_EVER)
    assert points == [
        EvaluationPoint(ts=slot, trades=GOOD.trades, calmar=GOOD.calmar, pnl_total=GOOD.pnl_total) for slot in slots
    ]
    assert await stage.store.evaluation_points(AUD, KEY, 0, FOR_EVER) == []


async def test_floors_rise_with_the_history_that_is_in_the_store():
    stage = await Stage(lambda pair, end: replace(GOOD, trades=15)).start()
    blob = await stage.slot(NOW)
    points = [EvaluationPoint(ts=NOW - k * EVAL_MS, trades=40, calmar=4.0, pnl_total=0.02) for k in range(1, 100)]
    lease = stage.desk.context.leadership.lease
    for k, point in enumerate(points):
        again = replace(blob, seq=blob.seq + 1 + k)
        await stage.store.publish_evaluation(lease, Evaluation(again, {}, {}, {(EUR, KEY): point}))
    await stage.start()
    blob = await stage.slot(NOW + EVAL_MS)
    summary = await stage.store.summary(EUR)
    assert (summary.gates.min_trades, summary.gates.history, summary.gates.adaptive) == (20.0, 100, True)
    assert blob.reasons[EUR] == ["trades_below_floor"]
    assert blob.gates[GBP] == 1


async def test_a_slot_that_is_published_late_goes_no_later_than_one_in_time():
    stage = await Stage().start()
    stage.clock.moment = NOW + 7 * MINUTE_MS
    await stage.slot(NOW)
    stage.clock.moment = NOW + stage.settings.gates_blob_max_age_sec * 1000 - 1
    assert await stage.blob()
    stage.clock.moment += 1
    assert await stage.store.gates_blob() is None


async def test_a_repeated_slot_is_a_duplicate_and_steps_nothing():
    stage = await Stage().start()
    first = await stage.slot(NOW)
    state = await stage.state()
    assert await stage.slot(NOW) == first
    assert await stage.state() == state
    assert (await stage.slot(NOW + EVAL_MS)).gates[EUR] == 1


async def test_the_failed_evaluation_of_one_instrument_shuts_its_gate_alone_and_changes_no_state():
    def outcome(pair: str, end: int) -> SpanSummary:
        if pair == GBP and end == NOW + 2 * EVAL_MS:
            raise ComputeError("the worker died twice")
        return GOOD

    stage = await Stage(outcome).start()
    await stage.slot(NOW)
    await stage.slot(NOW + EVAL_MS)
    before = await stage.state(GBP)
    blob = await stage.slot(NOW + 2 * EVAL_MS)
    assert blob.gates == {EUR: 1, GBP: 0, AUD: 1}
    assert blob.reasons[GBP] == ["evaluation_failed"]
    assert await stage.state(GBP) == before
    assert ("evaluator", "ComputeError") in recorded(stage.desk).calls("loop_failed")
    assert len(await stage.store.evaluation_points(GBP, KEY, 0, FOR_EVER)) == 2
    assert (await stage.slot(NOW + 3 * EVAL_MS)).gates[GBP] == 1


async def test_an_instrument_without_candles_is_judged_neither_way_and_the_others_go_on():
    stage = await Stage().start()
    for pair in (EUR, GBP):
        calm(stage.desk.context.market.series[pair], NOW)
    blob = await stage.slot(NOW, candles=False)
    assert blob.reasons[AUD] == ["insufficient_history", "pattern_not_repeated", "manifold_missing"]
    assert blob.guards[AUD] is None
    assert (await stage.state(EUR)).passes == 1


async def test_without_a_new_candle_nothing_is_evaluated_or_counted():
    stage = await Stage().start()
    await stage.slot(NOW)
    before, asked = await stage.state(), len(stage.backtests.asked)
    blob = await stage.slot(NOW + EVAL_MS, candles=False)
    assert await stage.state() == before
    assert len(stage.backtests.asked) == asked
    assert blob.ts == NOW + EVAL_MS
    assert blob.reasons[EUR] == ["awaiting_consecutive", "manifold_stale"]


async def test_a_slot_sees_no_candle_that_closes_after_it():
    stage = await Stage().start()
    for series in stage.desk.context.market.series.values():
        calm(series, NOW + 3 * MINUTE_MS)
    await stage.slot(NOW, candles=False)
    assert stage.backtests.asked == [(pair, NOW) for pair in PAIRS]
    assert (await stage.state()).last_candle == NOW - MINUTE_MS


async def test_a_cooldown_is_armed_by_the_fourth_miss_and_told():
    stage = await Stage(lambda pair, end: BAD).start()
    blobs = [await stage.slot(NOW + k * EVAL_MS) for k in range(4)]
    assert [blob.cooldowns[EUR] for blob in blobs] == [0, 0, 0, 1]
    assert blobs[-1].reasons[EUR][0] == "cooldown"
    assert (await stage.state()).cooldown_until == NOW + 3 * EVAL_MS + 7_200_000
    later = await stage.slot(NOW + 12 * EVAL_MS)
    assert later.cooldowns[EUR] == 0


async def test_new_parameters_reset_the_counters_and_leave_the_gate_open():
    stage = await Stage(lambda pair, end: GOOD if end <= NOW + EVAL_MS else BAD).start()
    for k in range(3):
        await stage.slot(NOW + k * EVAL_MS)
    assert (await stage.state()).fails == 1
    stage.desk.evaluator.rules = parts.evaluator(settings_of(auto_direction_lookback=30))
    blob = await stage.slot(NOW + 3 * EVAL_MS)
    state = await stage.state()
    assert (state.param_key, state.fails, state.eligible) == ("c0.55:l30:t2:ec60:xc60", 1, True)
    assert blob.gates[EUR] == 1
    assert len(await stage.store.evaluation_points(EUR, state.param_key, 0, FOR_EVER)) == 1


class HandParams:
    """Live parameters that a test sets by hand; an error is raised."""

    def __init__(self) -> None:
        self.overlays: Any = {}

    async def read(self) -> Any:
        if isinstance(self.overlays, Exception):
            raise self.overlays
        return self.overlays


async def with_params(overlays: Any, **given: object) -> tuple[Stage, HandParams]:
    stage, live = await Stage(**given).start(), HandParams()
    live.overlays = overlays
    stage.desk.evaluator._in_force = ParametersInForce(live, stage.desk.context.telemetry, "evaluator")
    return stage, live


async def test_an_entry_of_the_live_parameters_lies_over_the_settings_from_the_next_slot_on():
    stage, live = await with_params({EUR: {"direction_lookback": 30}})
    await stage.slot(NOW)
    assert {pair: params.direction_lookback for pair, params in stage.backtests.params.items()} == {
        EUR: 30,
        GBP: 12,
        AUD: 12,
    }
    assert (await stage.state()).param_key == "c0.55:l30:t2:ec60:xc60"
    live.overlays = {GBP: {"c_min": "p80", "strategy": "fade"}}
    await stage.slot(NOW + EVAL_MS)
    assert (stage.backtests.params[EUR].direction_lookback, stage.backtests.params[GBP].c_min) == (12, "p80")
    assert (await stage.store.summary(GBP)).param_key == "cp80:l12:t2:ec60:xc60:strategy=fade"


async def test_live_parameters_that_cannot_be_used_leave_the_old_ones_in_force():
    stage, live = await with_params({EUR: {"direction_lookback": 30}})
    await stage.slot(NOW)
    live.overlays = InputError("line 3: no parameter")
    blob = await stage.slot(NOW + EVAL_MS)
    assert stage.backtests.params[EUR].direction_lookback == 30
    assert blob.gates[EUR] == 1
    assert ("evaluator", "InputError") in recorded(stage.desk).calls("loop_failed")


async def test_without_old_ones_to_stay_with_nothing_is_decided_on_live_parameters_that_cannot_be_used():
    stage, live = await with_params(InputError("line 3: no parameter"))
    with pytest.raises(InputError, match="line 3"):
        await stage.slot(NOW)
    assert await stage.store.gates_blob() is None
    live.overlays = {}
    assert (await stage.slot(NOW)).ts == NOW


async def test_figures_stand_in_the_summary_while_no_candle_comes():
    stage = await Stage().start()
    await stage.slot(NOW)
    await stage.slot(NOW + EVAL_MS, candles=False)
    summary = await stage.store.summary(EUR)
    assert (summary.ts, summary.summary["30"], summary.reasons) == (
        NOW + EVAL_MS,
        GOOD,
        ["awaiting_consecutive", "manifold_stale"],
    )


OUTCOMES = {"p": GOOD, "f": BAD, "d": DEAD, "s": SHORT}
SCRIPTS = {EUR: "ppfppffpffffppppp", GBP: "fdpfpxpdppxppsppf", AUD: "fffffffffffffpppp"}


def scripted(pair: str, end: int) -> SpanSummary:
    letter = SCRIPTS[pair][(end - NOW) // EVAL_MS]
    if letter == "x":
        raise ValueError("scripted")
    return OUTCOMES[letter]


async def published(restarts: set[int]) -> list[bytes]:
    """Run all slots, with a new process after some of them; return blobs and states without epochs."""
    stage = await Stage(scripted).start()
    seen = []
    for k in range(len(SCRIPTS[EUR])):
        blob = await stage.slot(NOW + k * EVAL_MS)
        seen.append(encode([replace(blob, epoch=0), [await stage.state(pair) for pair in PAIRS]]))
        if k in restarts:
            await stage.start()
            again = await stage.slot(NOW + k * EVAL_MS)  # the new process begins with the latest past slot
            assert encode(replace(again, epoch=0)) == encode(replace(blob, epoch=0))
            assert again.epoch > blob.epoch
    return seen


async def test_a_restart_neither_grants_nor_loses_a_pass_a_fail_or_a_cooldown():
    whole = await published(set())
    assert any(b'"EUR_USD":1' in one for one in whole)
    assert any(b'"cooldowns":{"EUR_USD":0,"GBP_USD":0,"AUD_USD":1}' in one for one in whole)
    for k in range(len(whole)):
        assert await published({k}) == whole
    assert await published(set(range(len(whole)))) == whole


async def test_a_publication_whose_answer_was_lost_is_not_counted_twice():
    stage = await Stage().start()
    stage.store.deaf.add("publish_evaluation")
    with pytest.raises(StoreUnreachableError):
        await stage.slot(NOW)
    stage.store.deaf.clear()
    await stage.slot(NOW)
    assert (await stage.state()).passes == 1
    assert (await stage.slot(NOW + EVAL_MS)).gates[EUR] == 1
    assert (await stage.state()).passes == 2


@pytest.mark.parametrize("call", ["gate_state", "evaluation_points", "publish_evaluation"])
async def test_a_store_that_is_away_is_told_as_such_and_the_slot_counts_once_it_is_back(call):
    stage = await Stage().start()
    stage.store.broken.add(call)
    with pytest.raises(StoreUnreachableError):
        await stage.slot(NOW)
    stage.store.broken.clear()
    await stage.slot(NOW)
    assert (await stage.state()).passes == 1
    assert [point.ts for point in await stage.store.evaluation_points(EUR, KEY, 0, FOR_EVER)] == [NOW]


async def test_a_corrupt_state_counts_as_a_shut_gate_that_needs_fresh_passes():
    stage = await Stage().start()
    await stage.slot(NOW)
    await stage.slot(NOW + EVAL_MS)
    await stage.garbage(f"opt:rolling:state:{EUR}")
    await stage.start()
    blob = await stage.slot(NOW + 2 * EVAL_MS)
    assert blob.gates == {EUR: 0, GBP: 1, AUD: 1}
    assert blob.reasons[EUR] == ["awaiting_consecutive"]
    assert ("evaluator", "CorruptPayloadError") in recorded(stage.desk).calls("loop_failed")
    assert (await stage.slot(NOW + 3 * EVAL_MS)).gates[EUR] == 1


async def test_a_summary_of_another_schema_is_overwritten_and_decides_nothing():
    stage = await Stage().start()
    await stage.garbage(f"bt:rolling:summary:{EUR}")
    await stage.slot(NOW)
    assert (await stage.slot(NOW + EVAL_MS)).gates[EUR] == 1
    assert (await stage.store.summary(EUR)).summary["30"] == GOOD


async def test_a_deposed_evaluator_publishes_nothing_and_stands_by():
    stage = await Stage().start()
    before = await stage.slot(NOW)
    stage.store.inner._backend._values.pop("hotband:leader")
    await stage.store.acquire_lease("another", FOR_EVER)
    with pytest.raises(FencedError, match="stands by"):
        await stage.slot(NOW + EVAL_MS)
    assert await stage.blob() == before
    assert (await stage.state()).passes == 1
    assert stage.desk.context.leadership.lease is None


async def test_with_a_new_lease_the_states_of_the_store_count_and_not_the_own():
    stage = await Stage().start()
    await stage.slot(NOW)
    other = await Stage().start()
    other.store, other.clock = stage.store, stage.clock
    stage.store.inner._backend._values.pop("hotband:leader")
    await other.start(holder="another")
    await other.slot(NOW + EVAL_MS)
    stage.store.inner._backend._values.pop("hotband:leader")
    await stage.regain()
    assert (await stage.slot(NOW + 2 * EVAL_MS)).gates[EUR] == 1
    assert (await stage.state()).passes == 3


# ---- boundaries of sessions


async def evening(**given: object) -> Stage:
    """Return a stage with all gates open at 20:45 UTC."""
    stage = await Stage(**given).start()
    await stage.slot(EVENING - EVAL_MS)
    assert (await stage.slot(EVENING)).gates == dict.fromkeys(PAIRS, 1)
    return stage


async def test_at_a_boundary_the_overlays_are_published_anew_and_nothing_is_stepped():
    stage = await evening()
    states, asked = [await stage.state(pair) for pair in PAIRS], len(stage.backtests.asked)
    blob = await stage.slot(EVENING + 10 * MINUTE_MS)
    assert (blob.ts, blob.evaluated_ts) == (EVENING + 10 * MINUTE_MS, EVENING)
    assert blob.gates == {EUR: 0, GBP: 0, AUD: 1}  # Sydney opens as New York closes
    assert blob.reasons[EUR] == ["session_exit_window"]
    assert [await stage.state(pair) for pair in PAIRS] == states
    assert len(stage.backtests.asked) == asked
    closed = await stage.slot(EVENING + EVAL_MS)
    assert closed.reasons[EUR] == ["session_closed"]


async def test_slots_and_boundaries_come_in_order_and_a_shared_moment_steps():
    evaluator = (await Stage().start()).desk.evaluator
    found, after = [], EVENING + LAG_MS
    for _ in range(4):
        due = evaluator.next_due(after)
        assert due.wake == due.moment + LAG_MS
        found.append(((due.moment - EVENING) // MINUTE_MS, due.stepping))
        after = due.wake
    assert found == [(10, False), (15, True), (30, True), (45, True)]


async def test_a_start_takes_the_latest_past_slot_at_once_and_judges_sessions_by_the_present():
    stage = await Stage().start()
    evaluator = stage.desk.evaluator
    late = EVENING + 11 * MINUTE_MS
    due = evaluator.next_due(evaluator.first_after(late))
    assert due == Due(EVENING, EVENING + LAG_MS, stepping=True)
    for series in stage.desk.context.market.series.values():
        calm(series, late)
    stage.clock.moment = late
    blob = await stage.slot(EVENING, candles=False)
    assert blob.ts == EVENING
    assert "session_exit_window" in blob.reasons[EUR]
    assert "session_exit_window" not in blob.reasons[AUD]


async def test_a_lease_that_is_new_at_a_boundary_begins_with_the_latest_slot():
    stage = await evening()
    await stage.regain()
    blob = await stage.slot(EVENING + 10 * MINUTE_MS)
    assert (blob.ts, blob.evaluated_ts) == (EVENING, EVENING)
    assert blob.epoch == stage.desk.context.leadership.lease.epoch
    assert blob.gates == {EUR: 0, GBP: 0, AUD: 1}
    assert (await stage.state()).passes == 2


# ---- who waits for it


async def test_who_shares_a_slot_waits_until_it_is_published():
    stage = await Stage().start()
    done = []

    async def wait(moment: int) -> None:
        await stage.desk.evaluator.finished(moment)
        done.append(moment)

    async with anyio.create_task_group() as group:
        group.start_soon(wait, NOW + 5 * MINUTE_MS)
        group.start_soon(wait, NOW + EVAL_MS)
        await anyio.wait_all_tasks_blocked()
        assert done == []
        await stage.slot(NOW)
        await anyio.wait_all_tasks_blocked()
        assert done == [NOW + 5 * MINUTE_MS]
        await stage.slot(NOW + EVAL_MS)
    assert done == [NOW + 5 * MINUTE_MS, NOW + EVAL_MS]


async def test_evaluations_that_the_store_lost_are_given_back_and_go_on_raising_floors():
    stage = await Stage().start()
    slots = [NOW + k * EVAL_MS for k in range(5)]
    for slot in slots[:3]:
        await stage.slot(slot)
    stage.store.inner._backend._sets.clear()
    await stage.regain()
    await stage.slot(slots[3])
    assert [point.ts for point in await stage.store.evaluation_points(EUR, KEY, 0, FOR_EVER)] == slots[:4]
    assert (await stage.store.summary(EUR)).gates.history == 3
    await stage.regain()
    stage.store.calls.clear()
    await stage.slot(slots[4])
    assert "put_evaluation_points" not in stage.store.calls


async def test_evaluations_of_another_leader_are_taken_over():
    stage = await Stage().start()
    await stage.slot(NOW)
    lease = stage.desk.context.leadership.lease
    theirs = EvaluationPoint(ts=NOW + EVAL_MS, trades=9, calmar=0.5, pnl_total=0.01)
    await stage.store.put_evaluation_points(lease, EUR, KEY, [theirs])
    await stage.regain()
    await stage.slot(NOW + 2 * EVAL_MS)
    assert (await stage.store.summary(EUR)).gates.history == 2


async def test_under_a_new_lease_a_slot_that_was_published_here_stands():
    stage = await Stage().start()
    evaluator = stage.desk.evaluator
    late = NOW + LAG_MS + 5 * MINUTE_MS
    assert evaluator.next_due(evaluator.first_after(late)).moment == NOW
    await stage.slot(NOW)
    assert evaluator.next_due(evaluator.first_after(late)).moment > NOW
    later = NOW + 3 * EVAL_MS + LAG_MS + 1
    assert evaluator.next_due(evaluator.first_after(later)).moment == NOW + 3 * EVAL_MS
