"""Spans: slices of one run by entry time, and the share of their minutes that there is a candle for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core import spans
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Ints
from hotbandd.core.sessions import Calendar, calendar
from hotbandd.core.spans import SPANS, coverage, figures, spans_of

END = 1_718_800_200_000  # Wednesday 2024-06-19 12:30 UTC
FULL = dict.fromkeys(SPANS, 1.0)
OPEN = calendar(enabled=True)
UNGATED = calendar(enabled=False)


def minutes(days: int, end_ms: int = END) -> Ints:
    return np.arange(end_ms - days * DAY_MS, end_ms, MINUTE_MS, dtype=np.int64)


def naive_coverage(t: Ints, end_ms: int, days: int, sessions: Calendar) -> float:
    """Ask minute by minute: does it close in a session, and is its candle there?"""
    held = set(t.tolist())
    start = end_ms - days * DAY_MS
    opened = [m for m in range(start, end_ms, MINUTE_MS) if sessions.is_open("EUR_USD", m + MINUTE_MS)]
    return sum(m in held for m in opened) / len(opened) if opened else 0.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(-3 * 1440, 3 * 1440), st.floats(0.0, 1.0))
def test_the_coverage_is_what_a_count_of_single_minutes_says(seed: int, shift: int, share: float) -> None:
    end_ms = END + shift * MINUTE_MS
    t = minutes(20, end_ms)
    kept = np.random.default_rng(seed).random(len(t)) < share
    kept[-1] = True
    found = coverage("EUR_USD", t[kept], end_ms, (1, 3, 14), OPEN)
    assert found == {days: pytest.approx(naive_coverage(t[kept], end_ms, days, OPEN)) for days in (1, 3, 14)}


def test_every_minute_of_the_sessions_covers_a_span_whole_and_none_of_them_not_at_all() -> None:
    assert coverage("EUR_USD", minutes(61), END, SPANS, OPEN) == FULL
    assert coverage("EUR_USD", minutes(61)[:0], END, SPANS, OPEN) == dict.fromkeys(SPANS, 0.0)
    assert coverage("EUR_USD", minutes(61), END, (), OPEN) == {}


def test_a_missing_week_lowers_the_short_spans_most() -> None:
    t = minutes(61)
    hole = (t > END - 10 * DAY_MS) & (t < END - 3 * DAY_MS)
    found = coverage("EUR_USD", t[~hole], END, SPANS, OPEN)
    assert found[14] == pytest.approx(0.5, abs=0.01)
    assert found[14] < found[30] < found[60] < 1.0


def test_without_sessions_the_candles_are_held_against_the_fx_week() -> None:
    assert coverage("XAU_XAG", minutes(61), END, SPANS, UNGATED) == FULL
    half = coverage("XAU_XAG", minutes(61)[::2], END, SPANS, UNGATED)
    assert all(0.5 < share < 0.75 for share in half.values())  # weekends' candles count, and are not expected


def test_a_span_in_which_no_session_opens_is_not_covered() -> None:
    saturday = END + 3 * DAY_MS
    assert coverage("EUR_USD", minutes(1, saturday), saturday, (1,), OPEN)[1] > 0
    sunday = saturday + DAY_MS - 7 * 3_600_000
    assert coverage("EUR_USD", minutes(1, sunday), sunday, (1,), OPEN) == {1: 0.0}


def trades_at(days_ago: list[float], ret: list[float]) -> tuple[np.ndarray, Ints, Ints]:
    entry_ms = np.array([END - int(day * DAY_MS) for day in days_ago], dtype=np.int64)
    return np.array(ret), entry_ms, entry_ms + MINUTE_MS


def test_trades_belong_to_a_span_by_their_entry() -> None:
    found = figures(*trades_at([80, 59, 30, 14.01, 14, 0.1], [0.1, 0.2, 0.3, 0.4, -0.5, 0.6]), END, FULL)
    assert {days: span.trades for days, span in found.spans.items()} == {"14": 2, "30": 4, "60": 5}
    assert found.spans["14"].pnl_total == pytest.approx(0.1)
    assert found.spans["14"].win_rate == 0.5
    assert found.integrity


def test_a_span_with_more_trades_than_a_longer_one_breaks_integrity(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = spans.start_of
    monkeypatch.setattr(spans, "start_of", lambda end_ms, days: whole(end_ms, 60 if days == 14 else days))
    assert not figures(*trades_at([59, 1], [0.1, 0.2]), END, FULL).integrity


@pytest.mark.parametrize(("share", "sufficient"), [(0.8, True), (0.7999, False), (0.0, False)])
def test_a_span_suffices_from_eighty_percent_of_its_session_minutes_on(share: float, sufficient: bool) -> None:
    found = figures(*trades_at([], []), END, {14: share, 30: 1.0})
    assert found.sufficient == {"14": sufficient, "30": True}
    assert found.spans["14"].coverage == share


@pytest.mark.parametrize(
    ("days", "expected"),
    [(90, (14, 30, 60)), (60, (14, 30, 60)), (45, (14, 30)), (20, (14, 20)), (14, (14,)), (7, (7,))],
)
def test_the_spans_reach_no_further_than_the_run(days: int, expected: tuple[int, ...]) -> None:
    assert spans_of(days) == expected
