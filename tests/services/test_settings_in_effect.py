"""Every setting of the evaluator reaches what it is for: turned, it changes that, and with the defaults nothing of it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import anyio
import pytest

from hotbandd.core.documents import GatesBlob, RollingSummary
from tests.services.scenes import EVAL_MS, NOW, PAIRS
from tests.services.test_evaluator_input import Desk, market

EUR, GBP, AUD = PAIRS


class Seen(NamedTuple):
    """The second of two slots."""

    blob: GatesBlob
    summary: RollingSummary

    @property
    def month(self) -> Any:
        return self.summary.summary["30"]


def seen(**given: str) -> Seen:
    async def run() -> Seen:
        desk = await Desk({pair: market(pair) for pair in PAIRS}, **given).start()
        await desk.slot(NOW)
        blob = await desk.slot(NOW + EVAL_MS)
        summary = await desk.store.summary(EUR)
        assert summary is not None
        return Seen(blob, summary)

    return anyio.run(run)


@pytest.fixture(scope="module")
def default() -> Seen:
    return seen()


def reason(code: str) -> Callable[[Seen], object]:
    return lambda found: code in found.blob.reasons[EUR]


def trades(found: Seen) -> object:
    return found.month.trades


def earned(found: Seen) -> object:
    return found.month.pnl_total


def guard(name: str) -> Callable[[Seen], object]:
    return lambda found: getattr(found.blob.guards[EUR], name)


CLOSED = json.dumps({"windows": {"London": ["UTC", "01:00", "02:00"], "New York": ["UTC", "01:00", "02:00"]}})
CASES: list[tuple[str, str, Callable[[Seen], object]]] = [
    ("EVAL_MIN_TRADES", "100000", reason("trades_below_floor")),
    ("EVAL_CALMAR_MIN", "99", reason("calmar_below_floor")),
    ("EVAL_PNL_MIN", "9", reason("pnl_below_floor")),
    ("REQ_CONSEC", "3", reason("awaiting_consecutive")),
    ("HYSTERESIS_DEFAULT", "0.25", lambda found: found.blob.bufs[EUR]),
    ("HYSTERESIS_PAIR_JSON", '{"EUR_USD": 0.2}', lambda found: found.blob.bufs[EUR]),
    ("AUTO_MIN_COHERENCE", "0.9", trades),
    ("AUTO_MIN_COHERENCE", "p95", trades),
    ("AUTO_DIRECTION_LOOKBACK", "60", trades),
    ("AUTO_DIR_THRESHOLD_BPS", "9", trades),
    ("GUARD_MIN_STABILITY", "0.9", trades),
    ("AUTO_MAX_ENTROPY", "0.2", trades),
    ("AUTO_MAX_RUPTURE", "0.1", trades),
    ("AUTO_MAX_HAZARD", "0", trades),
    ("AUTO_GUARD_ENFORCE", "0", trades),
    ("GUARD_MIN_COHERENCE", "0", guard("coherence")),
    ("GUARD_MIN_STABILITY", "p100", guard("stability")),
    ("COST_BPS_JSON", '{"EUR_USD": 0}', earned),
    ("HOTBAND_STRATEGY", "fade", earned),
    ("HOTBAND_KERNEL", "native", trades),
    ("SESSION_EXIT_MINUTES", "600", reason("session_exit_window")),
    ("SESSION_TRADING_ENABLED", "0", trades),
    ("SESSION_WINDOWS_JSON", CLOSED, reason("session_closed")),
    ("SESSION_PATTERN_MIN_OCCURRENCES", "50", reason("pattern_not_repeated")),
    ("SIGNATURE_LEVELS", "64", reason("pattern_not_repeated")),
]


@pytest.mark.parametrize(("name", "value", "effect"), CASES, ids=[f"{name}={value[:12]}" for name, value, _ in CASES])
def test_a_setting_changes_what_it_is_for(
    default: Seen, name: str, value: str, effect: Callable[[Seen], object]
) -> None:
    assert effect(seen(**{name.lower(): value})) != effect(default)


def test_the_defaults_open_this_gate(default: Seen) -> None:
    assert default.blob.gates[EUR] == 1
    assert default.summary.param_key == "c0.55:l12:t2:ec60:xc60"


def test_the_measured_spread_is_the_cost_where_it_is_asked_for() -> None:
    """It is that of the days before the run's start, so the history has to be longer than the run."""

    async def run(asked: str) -> float:
        desk = await Desk(
            {pair: market(pair, 95) for pair in PAIRS}, cost_from_spread=asked, candle_hot_days="95"
        ).start()
        await desk.slot(NOW)
        summary = await desk.store.summary(EUR)
        assert summary is not None
        assert summary.param_key.endswith(":cost_bps=spread") == (asked == "1")
        return summary.summary["30"].pnl_total

    assert anyio.run(run, "1") != anyio.run(run, "0")


def test_a_wider_look_back_counts_more_occurrences() -> None:
    """An hour's look-back can hold no signature seventy times, two hours' can."""
    narrow = seen(session_pattern_min_occurrences="70", signature_levels="1")
    wide = seen(session_pattern_min_occurrences="70", signature_levels="1", session_pattern_lookback_min="240")
    assert "pattern_not_repeated" in narrow.blob.reasons[EUR]
    assert "pattern_not_repeated" not in wide.blob.reasons[EUR]


def test_a_share_of_the_history_raises_the_floors_only_as_far_as_it_is_set() -> None:
    async def run(share: str) -> float:
        desk = await Desk({pair: market(pair) for pair in PAIRS}, eval_adaptive_share=share).start()
        for k in range(100):
            await desk.slot(NOW - (100 - k) * EVAL_MS)
        await desk.slot(NOW)
        summary = await desk.store.summary(EUR)
        assert summary is not None
        return summary.gates.min_trades

    none, half, whole = (anyio.run(run, share) for share in ("0", "0.5", "1"))
    assert none == 8
    assert none < half < whole
    assert whole == pytest.approx(2 * half)


def test_a_cooldown_lasts_as_long_as_it_is_set() -> None:
    async def run(seconds: str) -> int:
        desk = await Desk(
            {pair: market(pair) for pair in PAIRS}, eval_min_trades="100000", cooldown_sec=seconds
        ).start()
        for k in range(4):
            await desk.slot(NOW - (3 - k) * EVAL_MS)
        state = await desk.store.gate_state(EUR)
        assert state is not None
        return state.cooldown_until

    assert anyio.run(run, "900") == NOW + 900_000
    assert anyio.run(run, "7200") == NOW + 7_200_000


async def test_a_blob_lives_as_long_as_it_is_set() -> None:
    desk = await Desk({pair: market(pair) for pair in PAIRS}, gates_blob_max_age_sec="1000").start()
    await desk.slot(NOW)
    desk.clock.moment = NOW + 999_999
    assert await desk.store.gates_blob() is not None
    desk.clock.moment = NOW + 1_000_000
    assert await desk.store.gates_blob() is None
