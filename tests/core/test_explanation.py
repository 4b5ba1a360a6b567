"""An explanation tells the truth: what it says must happen flips the gate, and nothing short of it does."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import gates
from hotbandd.core.documents import Floors, GateState, SpanSummary
from hotbandd.core.entry_bounds import EntryBounds
from hotbandd.core.explanation import Known, Rulebook, explain
from hotbandd.core.floors import EnvFloors
from hotbandd.core.gates import GateRules, Measured, Outcome, Verdict
from hotbandd.core.manifold_documents import Bounds
from hotbandd.core.sessions import calendar
from tests.adapters import store_samples as samples

PAIR = samples.PAIR
RULES = GateRules(req_consec=3, cooldown_sec=7200, exit_minutes=5)
ENV = EnvFloors(min_trades=8, calmar_min=0.1, pnl_min=0.0)
SPECS = EntryBounds(0.55, 0.40, "p30", 0.60, 1.0)
RULEBOOK = Rulebook(RULES, 900, ENV, 0.5, SPECS, Bounds(0.55, 0.40, math.nan, 0.60, 1.0))
CALENDAR = calendar({}, enabled=True)
NOW = 1_709_645_445_000
SLOT = NOW // 900_000 * 900_000
BUFFER = 0.1


def span(trades, calmar, pnl, coverage=1.0) -> SpanSummary:
    return msgspec.structs.replace(samples.SPAN, trades=trades, calmar=calmar, pnl_total=pnl, coverage=coverage)


def known(state=None, *, judged=None, recent=None, floors=None, reasons=(), flag=0, **given_) -> Known:
    summary = msgspec.structs.replace(
        samples.summary(),
        instrument=PAIR,
        summary={"14": recent or span(20, 1.0, 0.01), "30": judged or span(40, 1.0, 0.02)},
        gates=floors or Floors(min_trades=8, calmar_min=0.1, pnl_min=0.0, history=12),
        reasons=list(reasons),
    )
    blob = msgspec.structs.replace(
        samples.blob(), gates={PAIR: flag}, bufs={PAIR: BUFFER}, reasons={PAIR: list(reasons)}, cooldowns={PAIR: 0}
    )
    parts = {
        "summary": summary,
        "blob": blob,
        "manifold": samples.manifold(),
        "weights": samples.weights(),
        "status": samples.status(),
    }
    return Known(state=state or GateState(), **(parts | given_))


def explained(found: Known):
    return explain(PAIR, found, RULEBOOK, CALENDAR, NOW)


@given(st.booleans(), st.integers(0, 2), st.integers(0, 2))
def test_as_many_passes_or_fails_as_it_says_flip_the_gate_and_one_less_does_not(eligible, passes, fails):
    state = GateState(
        eligible=eligible, passes=0 if eligible else passes, fails=fails if eligible else 0, param_key="k"
    )
    found = explained(known(state))
    outcome = Outcome.FAIL if eligible else Outcome.PASS
    for number in range(found.needed):
        assert state.eligible == eligible, number
        slot = SLOT + number * 900_000
        state = gates.step(state, Verdict(outcome), slot, RULES, newest_candle=slot, param_key="k")
    assert state.eligible != eligible


@given(
    trades=st.integers(0, 40),
    calmar=st.floats(-1.0, 1.0),
    pnl=st.floats(-0.02, 0.02),
    recent=st.floats(-0.01, 0.01),
    floor=st.floats(0.05, 0.5),
)
def test_figures_stand_as_the_gate_judges_them(trades, calmar, pnl, recent, floor):
    floors = Floors(min_trades=8, calmar_min=floor, pnl_min=0.001, history=0)
    lately = span(10, recent * 50, recent)
    judged = span(trades, calmar, pnl)
    found = explained(known(judged=judged, recent=lately, floors=floors))
    measured = Measured(span=judged, recent=lately, floors=floors, buffer=BUFFER, sufficient=True, integrity=True)
    stands = {figure.name: figure.stands for figure in found.figures}
    assert found.outcome == gates.judge(measured).outcome
    if found.outcome == "pass":
        assert set(stands.values()) == {"passes"}
    assert ("fails" in stands.values()) == (found.outcome == "fail")


@given(st.floats(0.0, 0.11, exclude_max=True))
def test_what_it_says_must_be_reached_makes_a_pass_and_just_short_of_it_none(calmar):
    found = explained(known(judged=span(40, calmar, 0.02)))
    (figure,) = (figure for figure in found.figures if figure.stands != "passes")
    assert f"must reach {figure.enable_at:.4g}" in found.flip[0]

    def outcome(value):
        return explained(known(judged=span(40, value, 0.02))).outcome

    assert outcome(figure.enable_at) == "pass"
    assert outcome(figure.enable_at - 1e-9) != "pass"


def test_a_gate_that_passes_tells_when_the_next_pass_can_come():
    found = explained(known(GateState(passes=2)))
    assert found.flip == ["It passes now; one pass more, the next at 13:45 UTC, opens it."]


def test_an_open_gate_under_an_overlay_says_that_it_is_for_the_moment():
    found = explained(known(GateState(eligible=True), reasons=["session_exit_window"]))
    assert found.flip[0] == "It reads shut for the moment only: its session is about to close."
    assert found.flip[1].startswith("3 fails in a row close it: trades, 30 days below 7.2")


def test_in_cooldown_nothing_counts():
    found = explained(known(GateState(cooldown_until=NOW + 60_000)))
    assert found.cooldown_until == NOW + 60_000
    assert found.flip == ["Nothing counts until 13:31 UTC; after that 3 passes in a row open it."]


@pytest.mark.parametrize("missing", ["summary", "blob"])
def test_what_is_not_known_is_said_and_not_shown_as_fact(missing):
    found = explained(known(**{missing: None}))
    assert found.figures == []
    assert found.outcome is None
    assert found.flip[0].startswith("Nothing is known of its last evaluation")


def test_too_little_history_is_judged_neither_way():
    found = explained(known(recent=span(3, 0.0, 0.0, coverage=0.5)))
    assert found.outcome == "unjudged"
    assert "until that changes nothing is counted" in found.flip[0]


def test_each_floor_tells_where_it_comes_from():
    raised = Floors(min_trades=20, calmar_min=0.5, pnl_min=0.0, adaptive=True, history=120)
    origins = [figure.origin for figure in explained(known(floors=raised)).figures]
    assert origins == [
        "0.5 × the median of 120 evaluations",
        "0.25 × the median of 120 evaluations",
        "EVAL_PNL_MIN (0.5 × the median of 120 is less)",
        "must be above 0",
        "the buffer below 0",
    ]
    assert explained(known()).figures[0].origin == "EVAL_MIN_TRADES (12 of 96 evaluations kept)"


@pytest.mark.parametrize(("eligible", "margin"), [(False, 40 - 8.8), (True, 40 - 7.2)])
def test_the_margin_is_to_what_decides_now(eligible, margin):
    figures = explained(known(GateState(eligible=eligible))).figures
    assert figures[0].margin == pytest.approx(margin)
    assert figures[3].margin == pytest.approx(0.01)


def test_guards_tell_their_margins_and_leave_open_what_only_the_daemon_knows():
    guards = {guard.name: guard for guard in explained(known()).guards}
    metrics = samples.manifold().metrics
    assert guards["coherence"].margin == pytest.approx(metrics.coherence - 0.55)
    assert guards["rupture"].margin == pytest.approx(0.60 - metrics.rupture)
    assert (guards["entropy"].spec, guards["entropy"].bound, guards["entropy"].margin) == ("p30", None, None)
