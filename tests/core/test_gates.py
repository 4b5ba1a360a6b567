"""Gates: how a slot is judged, what it does to the state, and what readers see."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core import gates
from hotbandd.core.documents import Floors, GateState, SpanSummary
from hotbandd.core.gates import GateRules, Measured, Outcome, Reason, Verdict
from hotbandd.core.sessions import calendar

SLOT = 900_000
RULES = GateRules(req_consec=2, cooldown_sec=7200, exit_minutes=5)
FLOORS = Floors(min_trades=10.0, calmar_min=0.5, pnl_min=0.0)
PASS = Verdict(Outcome.PASS)
FAIL = Verdict(Outcome.FAIL, (Reason.PNL_BELOW_FLOOR,))
DEAD = Verdict(Outcome.DEAD_BAND, (Reason.CALMAR_BELOW_FLOOR,))
UNJUDGED = Verdict(Outcome.UNJUDGED, (Reason.INSUFFICIENT_HISTORY,))
SESSIONS = calendar(enabled=True)
LONG_SUMMARY = SpanSummary(
    trades=20,
    win_rate=0.6,
    pnl_total=0.02,
    max_drawdown=0.01,
    calmar=2.0,
    profit_factor=1.5,
    avg_hold_min=30.0,
    exposure=0.1,
    max_losing_streak=3,
    coverage=0.99,
)


def measured(
    *, recent_pnl=0.01, recent_calmar=1.0, buffer=0.10, floors=FLOORS, sufficient=True, integrity=True, **figures
):
    return Measured(
        span=msgspec.structs.replace(LONG_SUMMARY, **figures),
        recent=msgspec.structs.replace(LONG_SUMMARY, pnl_total=recent_pnl, calmar=recent_calmar),
        floors=floors,
        buffer=buffer,
        sufficient=sufficient,
        integrity=integrity,
    )


def run(verdicts, state=None, rules=RULES, first=1):
    """Step through consecutive slots, each with a new candle and the same parameters."""
    state = state or GateState()
    for number, verdict in enumerate(verdicts, first):
        state = step(state, verdict, number, rules)
    return state


def step(state, verdict, number, rules=RULES, *, candle=None, param_key="c0.55"):
    slot = number * SLOT
    return gates.step(state, verdict, slot, rules, newest_candle=candle or slot, param_key=param_key)


def counters(state):
    return state.passes, state.fails, state.misses


# --- judging


@pytest.mark.parametrize(
    ("figures", "outcome", "reasons"),
    [
        ({}, Outcome.PASS, ()),
        ({"trades": 11, "calmar": 0.55}, Outcome.PASS, ()),
        ({"trades": 10}, Outcome.DEAD_BAND, (Reason.TRADES_BELOW_FLOOR,)),
        ({"trades": 9}, Outcome.DEAD_BAND, (Reason.TRADES_BELOW_FLOOR,)),
        ({"trades": 8}, Outcome.FAIL, (Reason.TRADES_BELOW_FLOOR,)),
        ({"calmar": 0.549}, Outcome.DEAD_BAND, (Reason.CALMAR_BELOW_FLOOR,)),
        ({"calmar": 0.449}, Outcome.FAIL, (Reason.CALMAR_BELOW_FLOOR,)),
        ({"pnl_total": 0.0}, Outcome.PASS, ()),
        ({"pnl_total": -1e-9}, Outcome.FAIL, (Reason.PNL_BELOW_FLOOR,)),
        ({"recent_pnl": 0.0, "recent_calmar": 0.0}, Outcome.DEAD_BAND, (Reason.RECENT_LOSS,)),
        ({"recent_pnl": -0.01, "recent_calmar": -0.1}, Outcome.DEAD_BAND, (Reason.RECENT_LOSS,)),
        ({"recent_pnl": -0.01, "recent_calmar": -0.11}, Outcome.FAIL, (Reason.RECENT_LOSS,)),
        ({"trades": 10, "calmar": 0.0}, Outcome.FAIL, (Reason.TRADES_BELOW_FLOOR, Reason.CALMAR_BELOW_FLOOR)),
    ],
)
def test_a_slot_is_judged_by_its_thresholds(figures, outcome, reasons):
    assert gates.judge(measured(**figures)) == (outcome, reasons)


@pytest.mark.parametrize(
    ("evaluation", "reason"),
    [
        (None, Reason.EVALUATION_FAILED),
        (measured(sufficient=False), Reason.INSUFFICIENT_HISTORY),
        (measured(integrity=False), Reason.SPAN_INTEGRITY),
        (measured(integrity=False, sufficient=False), Reason.SPAN_INTEGRITY),
    ],
)
def test_what_cannot_be_judged_is_neither_a_pass_nor_a_fail(evaluation, reason):
    assert gates.judge(evaluation) == (Outcome.UNJUDGED, (reason,))


@pytest.mark.parametrize("name", ["calmar", "pnl_total", "recent_pnl"])
def test_a_figure_that_is_no_number_never_passes(name):
    assert gates.judge(measured(**{name: float("nan")})).outcome is not Outcome.PASS


def test_the_buffer_widens_a_negative_floor_on_both_sides():
    floors = Floors(min_trades=0.0, calmar_min=-1.0, pnl_min=-1.0)
    outcomes = [gates.judge(measured(floors=floors, calmar=c)).outcome for c in (-0.9, -0.91, -1.1, -1.11)]
    assert outcomes == [Outcome.PASS, Outcome.DEAD_BAND, Outcome.DEAD_BAND, Outcome.FAIL]


@given(
    st.builds(
        measured,
        trades=st.integers(0, 30),
        calmar=st.floats(-3, 3),
        pnl_total=st.floats(-0.1, 0.1),
        recent_pnl=st.floats(-0.1, 0.1),
        recent_calmar=st.floats(-3, 3),
        buffer=st.floats(0, 0.3),
    )
)
def test_only_a_pass_lacks_nothing(evaluation):
    verdict = gates.judge(evaluation)
    assert (verdict.outcome is Outcome.PASS) == (not verdict.reasons)


@pytest.mark.parametrize(
    ("instrument", "default", "expected"),
    [
        ("EUR_USD", 0.10, 0.10),
        ("NZD_USD", 0.10, 0.12),
        ("USD_CHF", 0.10, 0.30),
        ("USD_CAD", 0.10, 0.0),
        ("EUR_USD", 0.4, 0.3),
    ],
)
def test_the_buffer_is_the_pairs_own_or_the_default_within_bounds(instrument, default, expected):
    assert gates.buffer(instrument, default, {"NZD_USD": 0.12, "USD_CHF": 0.9, "USD_CAD": -1.0}) == expected


# --- stepping


def test_two_passes_enable_and_two_fails_disable():
    assert not run([PASS]).eligible
    enabled = run([PASS, PASS])
    assert enabled.eligible
    assert run([FAIL], enabled, first=3).eligible
    assert not run([FAIL, FAIL], enabled, first=3).eligible


@pytest.mark.parametrize("between", [FAIL, DEAD])
def test_passes_have_to_follow_each_other(between):
    assert not run([PASS, between, PASS]).eligible


def test_fails_have_to_follow_each_other():
    assert run([PASS, PASS, FAIL, DEAD, FAIL]).eligible


@pytest.mark.parametrize(
    ("verdict", "expected"), [(PASS, (2, 0, 0)), (FAIL, (0, 1, 1)), (DEAD, (0, 0, 0)), (UNJUDGED, (1, 0, 0))]
)
def test_counters_after_one_pass_and_a_verdict(verdict, expected):
    assert counters(run([PASS, verdict])) == expected


def test_the_dead_band_forgets_fails_and_remembers_misses():
    assert counters(run([FAIL, DEAD])) == (0, 0, 1)


def test_the_fourth_miss_arms_the_cooldown():
    assert not gates.in_cooldown(run([FAIL, FAIL, DEAD, FAIL]), 5 * SLOT)
    cooling = run([FAIL, FAIL, DEAD, FAIL, FAIL])
    assert cooling.cooldown_until == 5 * SLOT + 7_200_000
    assert (cooling.eligible, counters(cooling)) == (False, (0, 0, 0))


def test_a_cooldown_counts_nothing_and_asks_for_fresh_passes_after_it():
    cooling = run([FAIL] * 4)
    assert counters(run([PASS] * 7, cooling, first=5)) == (0, 0, 0)
    after = run([PASS] * 8, cooling, first=5)
    assert (after.eligible, counters(after)) == (False, (1, 0, 0))
    assert step(after, PASS, 13).eligible


def test_an_instrument_that_never_earns_cools_once():
    state = run([FAIL] * 40)
    assert state.cooldown_until == 4 * SLOT + 7_200_000
    assert state.misses > 4


def test_a_cooldown_comes_again_after_the_instrument_has_been_eligible():
    state = run([FAIL] * 12 + [PASS, PASS])
    assert state.eligible
    cooling = run([FAIL] * 4, state, first=15)
    assert cooling.cooldown_until == 18 * SLOT + 7_200_000


def test_misses_shut_an_eligible_gate_before_many_fails_do():
    rules = GateRules(req_consec=5, cooldown_sec=7200, exit_minutes=5)
    assert not run([FAIL] * 4, run([PASS] * 5, rules=rules), rules, first=6).eligible


def test_a_cooldown_of_no_seconds_is_none():
    state = run([FAIL] * 4, rules=GateRules(req_consec=2, cooldown_sec=0, exit_minutes=5))
    assert (state.cooldown_until, counters(state)) == (0, (0, 4, 4))


def test_a_slot_steps_a_gate_once():
    once = step(GateState(), PASS, 1)
    assert step(once, PASS, 1, candle=2 * SLOT) == once
    assert step(once, PASS, 0, candle=2 * SLOT) == once


def test_a_slot_without_a_new_candle_changes_nothing():
    once = step(GateState(), PASS, 1)
    assert step(once, FAIL, 2, candle=SLOT) == once
    assert not gates.steps(once, FAIL, 2 * SLOT, SLOT)


def test_an_unjudged_slot_can_still_be_stepped_when_it_is_judged_after_all():
    state = step(GateState(), UNJUDGED, 1)
    assert step(state, PASS, 1).passes == 1


def test_new_parameters_reset_the_counters_and_leave_eligible():
    state = run([PASS, PASS, FAIL])
    changed = step(state, UNJUDGED, 4, param_key="c0.60")
    assert (changed.eligible, counters(changed), changed.param_key) == (True, (0, 0, 0), "c0.60")
    assert step(state, FAIL, 4, param_key="c0.60").eligible


def test_new_parameters_do_not_end_a_cooldown():
    cooling = run([FAIL] * 4)
    assert step(cooling, PASS, 5, param_key="c0.60").cooldown_until == cooling.cooldown_until


def test_a_stored_state_goes_on_where_it_stood():
    stored = msgspec.json.decode(msgspec.json.encode(run([PASS])), type=GateState)
    assert step(stored, PASS, 2) == run([PASS, PASS])


MOVES = st.lists(
    st.tuples(
        st.sampled_from([PASS, PASS, FAIL, FAIL, DEAD, UNJUDGED]),
        st.integers(0, 3),  # slots since the last one; 0 is a repetition after a crash
        st.booleans(),  # a new candle
        st.sampled_from(["a", "a", "a", "a", "a", "b"]),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(MOVES, st.integers(1, 4))
def test_no_walk_of_slots_breaks_a_rule(moves, req_consec):
    """Follow a gate beside a plain record of the verdicts that counted."""
    rules = GateRules(req_consec=req_consec, cooldown_sec=3600, exit_minutes=5)
    state, number, candle = GateState(), 1, 1
    counted: list[Outcome] = []
    been_eligible = True
    for verdict, ahead, new, key in moves:
        number, candle = number + ahead, candle + new
        before, slot = state, number * SLOT
        if key != before.param_key:
            counted.clear()
        stepped = gates.steps(before, verdict, slot, candle)
        state = gates.step(before, verdict, slot, rules, newest_candle=candle, param_key=key)
        assert gates.step(state, verdict, slot, rules, newest_candle=candle, param_key=key) == state
        if not stepped:
            assert state.eligible == before.eligible
            assert state.last_slot == before.last_slot
            continue
        counted.append(verdict.outcome)
        if gates.in_cooldown(state, slot):
            assert (state.eligible, counters(state)) == (False, (0, 0, 0))
            counted.clear()
        tail = counted[-req_consec:]
        if state.eligible and not before.eligible:
            assert tail == [Outcome.PASS] * req_consec
        if before.eligible and not state.eligible:
            assert tail == [Outcome.FAIL] * req_consec or gates.in_cooldown(state, slot)
        if tail == [Outcome.PASS] * req_consec:
            assert state.eligible
        if state.cooldown_until != before.cooldown_until:
            assert been_eligible
            assert before.misses == rules.misses_to_cool - 1
            been_eligible = False
        been_eligible = been_eligible or state.eligible


# --- what readers see


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


NOON = at("2025-06-03T12:00")


def overlays(now=NOON, *, age=0, repeated=True):
    manifold_ts = None if age is None else now - age
    return gates.overlays("EUR_USD", now, SESSIONS, RULES, manifold_ts=manifold_ts, repeated=repeated)


@pytest.mark.parametrize(
    ("arguments", "reasons"),
    [
        ({}, []),
        ({"age": 300_000}, []),
        ({"age": 300_001}, [Reason.MANIFOLD_STALE]),
        ({"age": None}, [Reason.MANIFOLD_MISSING]),
        ({"repeated": False}, [Reason.PATTERN_NOT_REPEATED]),
        ({"now": at("2025-06-03T20:54")}, []),
        ({"now": at("2025-06-03T20:55")}, [Reason.SESSION_EXIT_WINDOW]),
        ({"now": at("2025-06-03T21:00")}, [Reason.SESSION_CLOSED]),
        (
            {"now": at("2025-06-07T12:00"), "age": 10**9, "repeated": False},
            ["session_closed", "pattern_not_repeated", "manifold_stale"],
        ),
    ],
)
def test_the_moment_shuts_a_gate(arguments, reasons):
    assert overlays(**arguments) == reasons


def test_without_gating_no_session_shuts_a_gate():
    free = calendar(enabled=False)
    assert (
        gates.overlays(
            "EUR_USD", at("2025-06-07T12:00"), free, RULES, manifold_ts=at("2025-06-07T12:00"), repeated=True
        )
        == []
    )


@pytest.mark.parametrize(
    ("verdicts", "laid_over", "flag", "reasons"),
    [
        ([PASS], [], 0, ["awaiting_consecutive"]),
        ([PASS, PASS], [], 1, []),
        ([PASS, PASS, FAIL], [], 1, []),
        ([PASS, PASS, DEAD], [], 1, []),
        ([PASS, PASS, FAIL, FAIL], [], 0, ["pnl_below_floor"]),
        ([DEAD], [], 0, ["calmar_below_floor"]),
        ([FAIL] * 4, [], 0, ["cooldown", "pnl_below_floor"]),
        ([FAIL] * 4 + [PASS], [], 0, ["cooldown"]),
        ([PASS, PASS, UNJUDGED], [], 0, ["insufficient_history"]),
        ([UNJUDGED], [], 0, ["insufficient_history"]),
        ([PASS, PASS], [Reason.SESSION_CLOSED], 0, ["session_closed"]),
        ([PASS], [Reason.MANIFOLD_STALE], 0, ["awaiting_consecutive", "manifold_stale"]),
    ],
)
def test_readers_see_a_flag_and_why(verdicts, laid_over, flag, reasons):
    state = run(verdicts)
    assert gates.published(state, verdicts[-1], laid_over, len(verdicts) * SLOT) == (flag, reasons)


def test_laying_reasons_over_a_gate_leaves_it_as_it_was():
    state = run([PASS, PASS])
    assert gates.published(state, PASS, [Reason.SESSION_EXIT_WINDOW], 3 * SLOT)[0] == 0
    assert gates.published(state, PASS, [], 3 * SLOT)[0] == 1


def test_a_gate_in_cooldown_is_shut_whatever_its_state_claims():
    odd = GateState(eligible=True, cooldown_until=10 * SLOT)
    assert gates.published(odd, PASS, [], 9 * SLOT) == (0, ["cooldown"])


@given(MOVES, st.lists(st.sampled_from([Reason.SESSION_CLOSED, Reason.MANIFOLD_STALE]), max_size=2, unique=True))
def test_a_zero_has_reasons_and_a_one_has_none(moves, laid_over):
    state, number = GateState(), 1
    for verdict, ahead, _, key in moves:
        number += ahead
        state = step(state, verdict, number, param_key=key)
        flag, reasons = gates.published(state, verdict, laid_over, number * SLOT)
        assert flag == (0 if reasons else 1)
        assert len(set(reasons)) == len(reasons)
        assert not (flag and (not state.eligible or gates.in_cooldown(state, number * SLOT)))
