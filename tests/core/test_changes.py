"""What is told of two looks."""

from __future__ import annotations

from msgspec.structs import replace

from hotbandd.core.changes import Change, Kind, Seen, between
from tests.adapters import store_samples as samples

PAIR = samples.PAIR
OPEN = samples.blob()
SHUT = replace(OPEN, gates={PAIR: 0}, reasons={PAIR: ["recent_loss", "session_closed"]})
FREE = samples.status()
HELD = replace(FREE, held=True, held_since=1, reason="too_few_candidates")


def told(before: Seen, after: Seen) -> list[str]:
    return [change.words for change in between(before, after)]


def test_gates_are_told_with_their_reasons():
    assert told(Seen(SHUT), Seen(OPEN)) == ["EUR_USD opened."]
    why = "it did not earn in the last 14 days; its session is closed"
    assert between(Seen(OPEN), Seen(SHUT)) == [Change(Kind.GATES, f"EUR_USD closed: {why}.")]
    assert told(Seen(OPEN), Seen(replace(OPEN, ts=OPEN.ts + 1, seq=2))) == []
    added = replace(OPEN, gates={PAIR: 1, "USD_JPY": 1, "GBP_USD": 0})
    assert told(Seen(OPEN), Seen(added)) == ["USD_JPY opened."]


def test_the_kill_switch_and_the_hold_are_told_both_ways():
    assert told(Seen(engaged=False), Seen(engaged=True)) == ["The kill switch is engaged: no weight rises."]
    assert told(Seen(engaged=True), Seen(engaged=False)) == ["The kill switch is released."]
    assert told(Seen(status=FREE), Seen(status=HELD)) == [
        "The allocator holds the weights as they are: too few open gates with a fresh manifold."
    ]
    assert told(Seen(status=HELD), Seen(status=FREE)) == ["The allocator holds no more: new weights."]


def test_leadership_and_health_are_told():
    assert told(Seen(), Seen(holder="a-1")) == ["a-1 leads now; before it nobody did."]
    assert told(Seen(holder="a-1"), Seen(holder="b-2")) == ["b-2 leads now; before it a-1 did."]
    amiss = Seen(troubles=("Valkey does not answer", "no fresh candle of EUR_USD"))
    assert told(Seen(troubles=()), amiss) == ["Unhealthy: Valkey does not answer; no fresh candle of EUR_USD."]
    assert told(amiss, Seen(troubles=("Valkey does not answer",))) == []
    assert told(amiss, Seen(troubles=())) == ["Healthy again."]


def test_what_is_not_known_is_no_change_and_is_kept_in_mind():
    everything = Seen(OPEN, FREE, False, "a-1", ())
    assert told(everything, Seen()) == told(Seen(), everything._replace(holder=None)) == []
    assert Seen().over(everything) == everything
    assert told(everything, Seen(blob=SHUT, engaged=True).over(everything))[-1].startswith("The kill switch is engaged")
