"""Whatever comes, and however often the process starts anew, gates open and shut as the rules say, worked out here in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core.documents import GatesBlob, GateState, SpanSummary
from tests.services.scenes import BAD, CALENDAR, DEAD, EVAL_MS, GOOD, NOW, SHORT, calm
from tests.services.test_evaluator import EUR, Stage

COOLDOWN_SEC = 5400
EXIT_MS = 5 * 60_000
STALE_MS = 300_000
OUTCOMES = {"pass": GOOD, "fail": BAD, "dead": DEAD, "short": SHORT}


class Happening(NamedTuple):
    """What comes before a slot: how many slots later it is, what its back-test would say, new candles or none, a new process or not."""

    later: int
    outcome: str
    candles: bool
    restart: bool


@dataclass
class Rulebook:
    """The rules of one gate in plain words."""

    req_consec: int
    eligible: bool = False
    passes: int = 0
    fails: int = 0
    misses: int = 0
    cool_until: int = 0
    may_cool: bool = True

    def step(self, slot: int, outcome: str) -> None:
        if slot < self.cool_until:
            self.eligible, self.passes, self.fails, self.misses = False, 0, 0, 0
            return
        if outcome == "dead":
            self.passes = self.fails = 0
        elif outcome == "pass":
            self.passes, self.fails, self.misses = self.passes + 1, 0, 0
            if self.passes >= self.req_consec:
                self.eligible = self.may_cool = True
        else:
            self.passes, self.fails, self.misses = 0, self.fails + 1, self.misses + 1
            if self.fails >= self.req_consec:
                self.eligible = False
        if self.misses >= 4 and self.may_cool:
            self.eligible, self.passes, self.fails, self.misses = False, 0, 0, 0
            self.cool_until, self.may_cool = slot + COOLDOWN_SEC * 1000, False

    def same(self, state: GateState) -> bool:
        ours = (self.eligible, self.passes, self.fails, self.misses, self.cool_until)
        return ours == (state.eligible, state.passes, state.fails, state.misses, state.cooldown_until)


HAPPENINGS = st.lists(
    st.builds(
        Happening,
        later=st.sampled_from([1, 1, 1, 1, 1, 1, 2, 30]),
        outcome=st.sampled_from(["pass", "pass", "pass", "fail", "fail", "dead", "short", "error"]),
        candles=st.sampled_from([True, True, True, True, False]),
        restart=st.sampled_from([False, False, True]),
    ),
    min_size=1,
    max_size=40,
)


async def live(happenings: list[Happening], req_consec: int) -> list[tuple[int, GatesBlob, GateState, Rulebook, int]]:
    """Run the slots; return with each its blob, the state in the store, the state by the rules, and the newest candle's close."""
    told: dict[int, str] = {}

    def outcome(pair: str, end: int) -> SpanSummary:
        if told[end] == "error":
            raise ValueError("scripted")
        return OUTCOMES[told[end]]

    stage = await Stage(outcome, req_consec=req_consec, cooldown_sec=COOLDOWN_SEC).start()
    rules, slot, newest, judged = Rulebook(req_consec), NOW, NOW - EVAL_MS, NOW - EVAL_MS
    told[newest] = "short"
    seen = []
    for happening in happenings:
        slot += happening.later * EVAL_MS
        if happening.candles:
            newest = slot
            told[newest] = happening.outcome
        if happening.restart:
            await stage.start()
        for series in stage.desk.context.market.series.values():
            calm(series, newest, start_ms=max(newest - 400 * 60_000, NOW - 800 * 60_000))
        if newest > judged and told[newest] in {"pass", "fail", "dead"}:
            rules.step(slot, told[newest])
            judged = newest
        blob = await stage.slot(slot, candles=False)
        seen.append((slot, blob, await stage.state(), Rulebook(**vars(rules)), newest))
    return seen


@settings(max_examples=60, deadline=None)
@given(HAPPENINGS, st.integers(1, 3))
def test_states_are_those_of_the_rules_whatever_comes_and_however_often_it_starts_anew(happenings, req_consec):
    for slot, _, state, rules, _ in anyio.run(live, happenings, req_consec):
        assert rules.same(state), (slot, rules, state)


@settings(max_examples=60, deadline=None)
@given(HAPPENINGS, st.integers(1, 3))
def test_an_open_gate_has_its_passes_its_session_its_manifold_and_no_cooldown(happenings, req_consec):
    outcomes: list[str] = []
    for (slot, blob, _, rules, newest), happening in zip(
        anyio.run(live, happenings, req_consec), happenings, strict=True
    ):
        if happening.candles and happening.outcome in {"pass", "fail", "dead"}:
            outcomes.append(happening.outcome)
        if not blob.gates[EUR]:
            assert blob.reasons[EUR]
            continue
        assert blob.reasons[EUR] == []
        assert rules.eligible
        assert "pass" in outcomes
        assert outcomes.count("pass") >= req_consec
        assert slot >= rules.cool_until
        assert CALENDAR.is_open(EUR, slot)
        assert CALENDAR.closes_at(EUR, slot) - slot > EXIT_MS
        assert slot - newest <= STALE_MS


def test_such_walks_do_open_gates_and_shut_them_by_cooldown():
    def happening(outcome: str) -> Happening:
        return Happening(1, outcome, candles=True, restart=False)

    walk = [happening(outcome) for outcome in ["pass"] * 3 + ["fail"] * 4 + ["pass"] * 9]
    flags = [blob.gates[EUR] for _, blob, _, _, _ in anyio.run(live, walk, 2)]
    assert flags == [0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]
