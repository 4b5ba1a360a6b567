"""The allocator's slot: scoring, selecting, holding, and how those rules meet."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core import allocation
from hotbandd.core.allocation import AllocationRules, Candidate, Reason, Situation
from hotbandd.core.documents import AllocatorStatus, GatesBlob, ManifoldPoint, Weights

PAIRS = ("AUD_USD", "EUR_USD", "GBP_USD", "USD_CAD", "USD_JPY")
AUD, EUR, GBP, CAD, JPY = PAIRS
NOW = 1_741_597_200_000
SLOT = 600_000
RULES = AllocationRules(
    top_k=3,
    target=0.30,
    cap=0.10,
    w_c=0.60,
    w_s=0.20,
    w_r=0.15,
    w_h=0.05,
    w_hazard=0.0,
    incumbent_bonus=0.25,
    min_change=0.01,
    hold_mode="hold",
    max_hold_sec=3600,
    redistribute=False,
    gates_max_age_sec=1800,
)


def blob(*open_gates, ts=NOW, evaluated_ts=None, epoch=5, known=PAIRS):
    gates = {name: int(name in open_gates) for name in known}
    return GatesBlob(
        ts=ts,
        evaluated_ts=ts if evaluated_ts is None else evaluated_ts,
        gates=gates,
        cooldowns={},
        bufs={},
        reasons={},
        guards={},
        epoch=epoch,
        seq=1,
    )


def scored(**scores):
    """Return candidates whose score is the number given."""
    return [
        Candidate(f"{name}_USD" if len(name) == 3 else name, value, value, 1 - value, 1 - value, 0.0)
        for name, value in scores.items()
    ]


EVEN = [Candidate(name, 0.5, 0.5, 0.5, 0.5, 0.0) for name in PAIRS]


def weights(ts=NOW - SLOT, gates_ts=NOW - SLOT, **named):
    named = {f"{name}_USD" if len(name) == 3 else name: value for name, value in named.items()}
    return Weights(
        ts=ts, weights=named, target=0.3, gates_ts=gates_ts, scores=dict.fromkeys(named, 0.5), epoch=5, seq=1
    )


def status(*, held=False, since=None):
    return AllocatorStatus(
        ts=NOW - SLOT,
        interval_sec=600,
        top_k=3,
        eligible=0,
        selected=[],
        held=held,
        held_since=since,
        reason="",
        held_closed=[],
        kill_switch=False,
        epoch=5,
        seq=1,
    )


def situation(
    *, gates=None, fault=None, candidates=EVEN, previous=None, last=None, kill_switch=False, pairs=PAIRS, slot=NOW
):
    return Situation(
        slot=slot,
        pairs=pairs,
        blob=gates,
        fault=fault,
        candidates=candidates,
        previous=previous,
        status=status() if last is None else last,
        kill_switch=kill_switch,
    )


def decide(rules=RULES, **given_):
    return allocation.allocate(situation(**given_), rules)


# --- the blob


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (None, Reason.GATES_MISSING),
        (blob(), None),
        (blob(epoch=4), Reason.GATES_LOWER_EPOCH),
        (blob(epoch=6), None),
        (blob(ts=NOW + 5_000), None),
        (blob(ts=NOW + 5_001), Reason.GATES_FUTURE),
        (blob(ts=NOW - 1_800_000), None),
        (blob(ts=NOW - 1_800_001), Reason.GATES_STALE),
        (blob(ts=NOW, evaluated_ts=NOW - 1_800_001), Reason.GATES_STALE),
        (blob(ts=NOW, evaluated_ts=NOW + 5_001), Reason.GATES_FUTURE),
    ],
)
def test_a_blob_is_used_only_while_it_can_be_trusted(document, fault):
    assert allocation.blob_fault(document, NOW, RULES, 5) == fault


# --- candidates and scores


def point(minutes_ago, value, hazard=0.1):
    return ManifoldPoint(
        ts=NOW - minutes_ago * 60_000, signature="s", C=value, S=value, H=value, R=value, lambda_=hazard
    )


def test_a_candidate_is_the_average_of_the_last_minutes():
    found = allocation.candidate(EUR, [point(60, 1.0), point(59, 0.2), point(0, 0.4), point(-1, 1.0)], NOW, NOW, 60)
    assert found is not None
    assert found[1:] == pytest.approx((0.3, 0.3, 0.3, 0.3, 0.1))


@pytest.mark.parametrize("manifold_ts", [None, NOW - 300_000])
def test_an_instrument_without_a_fresh_manifold_is_no_candidate(manifold_ts):
    assert allocation.candidate(EUR, [point(0, 0.4)], manifold_ts, NOW, 60) is None


def test_an_instrument_without_points_is_no_candidate():
    assert allocation.candidate(EUR, [point(60, 0.4)], NOW - 299_999, NOW, 60) is None


def test_the_score_weighs_coherence_stability_rupture_and_entropy():
    metrics = Candidate(EUR, coherence=0.8, stability=0.6, entropy=0.3, rupture=0.2, hazard=0.5)
    assert allocation.score(metrics, RULES) == pytest.approx(0.6 * 0.8 + 0.2 * 0.6 + 0.15 * 0.8 + 0.05 * 0.7)
    assert allocation.score(metrics, replace(RULES, w_hazard=0.4)) == pytest.approx(0.755 - 0.2)
    assert allocation.score(metrics, replace(RULES, w_hazard=9.0)) == 0.0


# --- allocating


def test_the_best_three_share_the_target():
    decision = decide(gates=blob(*PAIRS), candidates=scored(AUD=0.2, EUR=0.9, GBP=0.6, USD_CAD=0.3, USD_JPY=0.1))
    assert decision.weights == {EUR: 0.1, GBP: 0.1, CAD: 0.05}
    assert decision.selected == [EUR, GBP, CAD]
    assert (decision.reason, decision.held, decision.held_since, decision.eligible) == (
        Reason.ALLOCATED,
        False,
        None,
        5,
    )
    assert decision.scores[AUD] == pytest.approx(0.2)
    assert decision.gates_ts == NOW


def test_overflow_is_spread_where_asked():
    decision = decide(
        replace(RULES, redistribute=True), gates=blob(EUR, GBP, CAD), candidates=scored(EUR=0.9, GBP=0.6, USD_CAD=0.3)
    )
    assert decision.weights == {EUR: 0.1, GBP: 0.1, CAD: 0.1}


def test_ties_break_by_name():
    assert decide(gates=blob(*PAIRS), candidates=EVEN[::-1]).selected == [AUD, EUR, GBP]


def test_a_holder_of_a_weight_ranks_a_quarter_above_its_score():
    challengers = scored(AUD=0.5, EUR=0.5, GBP=0.5, USD_JPY=0.41)
    assert JPY in decide(gates=blob(*PAIRS), candidates=challengers, previous=weights(USD_JPY=0.1)).selected
    assert JPY not in decide(gates=blob(*PAIRS), candidates=challengers, previous=weights(USD_JPY=0.0)).selected
    barely = scored(AUD=0.5, EUR=0.5, GBP=0.5, USD_JPY=0.39)
    assert JPY not in decide(gates=blob(*PAIRS), candidates=barely, previous=weights(USD_JPY=0.1)).selected


def test_the_bonus_counts_for_the_ranking_alone():
    decision = decide(
        gates=blob(EUR, GBP, CAD), candidates=scored(EUR=0.4, GBP=0.4, USD_CAD=0.4), previous=weights(EUR=0.05)
    )
    assert decision.weights == {EUR: 0.1, GBP: 0.1, CAD: 0.1}


def test_only_open_gates_with_a_fresh_manifold_are_candidates():
    stale = decide(gates=blob(EUR, GBP, CAD), candidates=scored(EUR=0.5, GBP=0.5, AUD=0.9), previous=weights())
    assert (stale.reason, stale.eligible) == (Reason.TOO_FEW_CANDIDATES, 3)
    unknown = decide(gates=blob(EUR, GBP, known=(EUR, GBP)), previous=weights())
    assert unknown.reason == Reason.TOO_FEW_CANDIDATES


def test_a_gate_outside_the_pairs_is_no_candidate():
    decision = decide(gates=blob(*PAIRS), pairs=(EUR, GBP))
    assert decision.weights == {EUR: 0.1, GBP: 0.1}


def test_fewer_pairs_than_k_need_only_themselves():
    assert decide(gates=blob(EUR), pairs=(EUR,)).weights == {EUR: 0.1}


def test_small_moves_leave_the_previous_weights():
    before = weights(EUR=0.1, GBP=0.095, USD_CAD=0.091)
    decision = decide(gates=blob(EUR, GBP, CAD), candidates=scored(EUR=0.6, GBP=0.6, USD_CAD=0.6), previous=before)
    assert (decision.weights, decision.reason) == (before.weights, Reason.UNCHANGED)
    assert (decision.scores, decision.gates_ts) == (before.scores, NOW)
    moved = decide(gates=blob(EUR, GBP, CAD), previous=weights(EUR=0.1, GBP=0.095, USD_CAD=0.09))
    assert moved.weights == {EUR: 0.1, GBP: 0.1, CAD: 0.1}


def test_an_entry_or_a_leave_is_no_small_move():
    wider = decide(
        replace(RULES, min_change=0.5), gates=blob(EUR, GBP, CAD), previous=weights(EUR=0.1, GBP=0.1, AUD=0.1)
    )
    assert wider.weights == {EUR: 0.1, GBP: 0.1, CAD: 0.1}


def test_previous_weights_do_not_stand_above_a_lowered_target():
    before = weights(EUR=0.1, GBP=0.1, USD_CAD=0.1)
    decision = decide(replace(RULES, target=0.285), gates=blob(EUR, GBP, CAD), previous=before)
    assert decision.weights == {EUR: 0.095, GBP: 0.095, CAD: 0.095}


# --- holding


def test_too_few_candidates_hold_and_publish_nothing():
    decision = decide(gates=blob(EUR, GBP), previous=weights(EUR=0.1, AUD=0.1))
    assert decision.weights is None
    assert (decision.held, decision.held_since, decision.reason) == (True, NOW, Reason.TOO_FEW_CANDIDATES)
    assert (decision.held_closed, decision.selected, decision.eligible) == ([AUD], [], 2)


def test_candidates_without_any_score_hold():
    decision = decide(
        replace(RULES, w_hazard=99.0),
        gates=blob(*PAIRS),
        candidates=[c._replace(hazard=1.0) for c in EVEN],
        previous=weights(EUR=0.1),
    )
    assert (decision.weights, decision.reason) == (None, Reason.NO_SCORE)


@pytest.mark.parametrize("fault", [Reason.GATES_MISSING, Reason.GATES_MALFORMED, Reason.GATES_STALE])
def test_an_unusable_blob_holds_for_as_long_as_it_takes(fault):
    for mode in ("hold", "reduce_only"):
        rules = replace(RULES, hold_mode=mode)
        decision = decide(
            rules,
            gates=blob(),
            fault=fault,
            previous=weights(EUR=0.1),
            last=status(held=True, since=NOW - 9 * 3_600_000),
        )
        assert (decision.weights, decision.reason, decision.held_closed) == (None, fault, [])
        assert decision.held_since == NOW - 9 * 3_600_000


def test_no_blob_at_all_is_a_missing_one():
    assert decide(previous=weights(EUR=0.1)).reason == Reason.GATES_MISSING


def test_reduce_only_drops_closed_gates_at_once_and_raises_nothing():
    decision = decide(
        replace(RULES, hold_mode="reduce_only"), gates=blob(EUR, GBP), previous=weights(EUR=0.04, AUD=0.1)
    )
    assert (decision.weights, decision.held, decision.held_closed) == ({EUR: 0.04}, True, [])
    assert (decision.scores, decision.gates_ts) == ({EUR: 0.5}, NOW)


@pytest.mark.parametrize(
    ("held_sec", "max_hold", "dropped"), [(3_000, 3_600, False), (3_600, 3_600, True), (99_999, 0, False)]
)
def test_a_hold_drops_closed_gates_after_its_bound(held_sec, max_hold, dropped):
    decision = decide(
        replace(RULES, max_hold_sec=max_hold),
        gates=blob(EUR),
        previous=weights(EUR=0.1, AUD=0.1),
        last=status(held=True, since=NOW - held_sec * 1000),
    )
    assert decision.weights == ({EUR: 0.1} if dropped else None)
    assert decision.held_since == NOW - held_sec * 1000


def test_without_a_status_a_hold_is_as_old_as_its_weights():
    given_ = situation(gates=blob(EUR), previous=weights(ts=NOW - 7_200_000, EUR=0.1, AUD=0.1))
    decision = allocation.allocate(replace(given_, status=None), RULES)
    assert (decision.held_since, decision.weights) == (NOW - 7_200_000, {EUR: 0.1})


def test_a_hold_ends_with_the_first_allocation():
    decision = decide(gates=blob(*PAIRS), last=status(held=True, since=NOW - SLOT), previous=weights(EUR=0.1))
    assert (decision.held, decision.held_since) == (False, None)


@pytest.mark.parametrize("fault", [None, Reason.GATES_STALE])
def test_a_removed_instrument_loses_its_weight_at_once(fault):
    decision = decide(
        gates=blob(EUR), fault=fault, pairs=(EUR, GBP, CAD), previous=weights(EUR=0.1, AUD=0.1, gates_ts=7)
    )
    assert (decision.weights, decision.held) == ({EUR: 0.1}, True)
    assert decision.gates_ts == (7 if fault else NOW)


def test_a_hold_lowers_weights_to_a_lowered_cap_and_target():
    held = decide(replace(RULES, cap=0.08, target=0.12), gates=blob(), previous=weights(EUR=0.1, GBP=0.1, AUD=0.02))
    assert held.weights == {EUR: 0.053333, GBP: 0.053333, AUD: 0.013333}


@pytest.mark.parametrize("gates", [None, blob(EUR)])
def test_with_nothing_to_hold_empty_weights_are_published_once(gates):
    first = decide(gates=gates, last=None)
    assert (first.weights, first.held) == ({}, True)
    assert decide(gates=gates, previous=weights()).weights is None


# --- the kill switch


def test_an_engaged_switch_adds_nothing():
    decision = decide(gates=blob(EUR, GBP, CAD), previous=weights(EUR=0.1, AUD=0.1), kill_switch=True)
    assert (decision.weights, decision.held) == ({EUR: 0.1}, False)
    assert decide(gates=blob(*PAIRS), kill_switch=True).weights == {}


def test_an_engaged_switch_takes_the_smaller_weight():
    decision = decide(
        gates=blob(EUR, GBP, CAD),
        candidates=scored(EUR=0.9, GBP=0.6, USD_CAD=0.15),
        previous=weights(EUR=0.05, GBP=0.06, USD_CAD=0.1),
        kill_switch=True,
    )
    assert decision.weights == {EUR: 0.05, GBP: 0.06, CAD: 0.027272}


def test_an_engaged_switch_does_not_wear_a_book_down_by_small_steps():
    decision = decide(
        gates=blob(*PAIRS),
        candidates=scored(EUR=0.5, GBP=0.48, USD_CAD=0.5),
        previous=weights(EUR=0.1, GBP=0.1),
        kill_switch=True,
    )
    assert (decision.weights, decision.reason) == ({EUR: 0.1, GBP: 0.1}, Reason.UNCHANGED)


def test_an_engaged_switch_does_not_flatten():
    assert decide(gates=blob(), previous=weights(EUR=0.1), kill_switch=True).weights is None


# --- every walk of slots

STEPS = st.lists(
    st.tuples(
        st.frozensets(st.sampled_from(PAIRS)),  # open gates
        st.sampled_from([None, None, None, Reason.GATES_STALE, Reason.GATES_MISSING]),
        st.booleans(),  # kill switch
        st.lists(st.tuples(*[st.floats(0, 1)] * 5), min_size=5, max_size=5),  # metrics
        st.sampled_from([PAIRS, PAIRS, PAIRS, PAIRS[:3]]),
        st.booleans(),  # the status has expired
    ),
    max_size=15,
)
ANY_RULES = st.builds(
    replace,
    st.just(RULES),
    top_k=st.integers(1, 5),
    target=st.sampled_from([0.3, 0.1, 1.0, 0.2999]),
    cap=st.sampled_from([0.1, 0.07, 1.0, 0.033333]),
    hold_mode=st.sampled_from(["hold", "reduce_only"]),
    max_hold_sec=st.sampled_from([0, 600, 3600]),
    redistribute=st.booleans(),
    w_hazard=st.sampled_from([0.0, 1.0]),
    min_change=st.sampled_from([0.0, 0.01, 0.05]),
)


@settings(max_examples=200)
@given(STEPS, ANY_RULES, st.one_of(st.none(), ANY_RULES), st.integers(0, 15))
def test_no_walk_of_slots_breaks_an_invariant(steps, rules, later_rules, reload_at):
    previous, last, slot = None, None, NOW
    for number, (open_gates, fault, killed, metrics, pairs, expired) in enumerate(steps):
        rules = later_rules if later_rules and number == reload_at else rules
        slot += SLOT
        before = dict(previous.weights) if previous else {}
        decision = allocation.allocate(
            Situation(
                slot=slot,
                pairs=pairs,
                blob=None if fault is Reason.GATES_MISSING else blob(*open_gates, ts=slot),
                fault=fault,
                candidates=[Candidate(name, *m) for name, m in zip(PAIRS, metrics, strict=True)],
                previous=previous,
                status=None if expired else last,
                kill_switch=killed,
            ),
            rules,
        )
        now = before if decision.weights is None else decision.weights
        exact = {name: Decimal(str(weight)) for name, weight in now.items()}
        assert sum(exact.values()) <= Decimal(str(rules.target))
        assert all(0 < w <= Decimal(str(rules.cap)) and w.as_tuple().exponent >= -6 for w in exact.values())
        assert set(now) <= set(pairs)
        assert decision.held == (decision.held_since is not None)
        if decision.held or killed:
            assert all(weight <= before.get(name, 0) for name, weight in now.items())
        if fault:
            assert decision.held
            assert (decision.eligible, decision.held_closed) == (0, [])
        if not decision.held:
            assert decision.weights is not None
            assert set(now) <= open_gates
            assert set(now) <= set(decision.selected)
        if decision.held and not fault:
            assert set(decision.held_closed) == set(now) - open_gates
            overdue = rules.max_hold_sec and slot - decision.held_since >= rules.max_hold_sec * 1000
            assert not (decision.held_closed and (rules.hold_mode == "reduce_only" or overdue))
        assert previous or decision.weights is not None
        if decision.weights is not None:
            previous = weights(ts=slot, gates_ts=decision.gates_ts, **decision.weights)
            previous = msgspec.json.decode(msgspec.json.encode(previous), type=Weights)
        last = status(held=decision.held, since=decision.held_since)
