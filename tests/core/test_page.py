"""The parts of the page, and what changes between two of them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from hotbandd.core import page, sessions
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.documents import ManifoldPoint
from hotbandd.core.page_documents import Change, Daemon, Gates, Page
from hotbandd.core.series import MetricColumns
from tests.adapters import store_samples as samples

NOON = 1_718_798_400_000  # Wednesday 2024-06-19 12:00 UTC
CALENDAR = sessions.calendar(enabled=True)
DAEMON = Daemon(
    version="1",
    source="simulated",
    speed=1.0,
    leading=True,
    holder="me",
    epoch=1,
    store_up=True,
    healthy=True,
    loaded=True,
    troubles=[],
)
GATES = Gates(
    ts=None, evaluated_ts=None, max_age_sec=1800, interval_sec=900, next_at=NOON, misses_to_cool=4, open=0, of=1
)


def whole(**parts: object) -> Page:
    rules = msgspec.structs
    made = Page(
        version=1,
        now=NOON,
        stale_after_ms=300_000,
        daemon=DAEMON,
        kill_switch=page.kill_switch(False),
        sessions=page.sessions(CALENDAR, ["EUR_USD"], NOON, 5),
        gates=GATES,
        allocation=page.Allocation(
            ts=None,
            weights_ts=None,
            weights={},
            total=0.0,
            target=0.3,
            cap=0.1,
            top_k=3,
            eligible=0,
            held=False,
            held_since=None,
            held_closed=[],
            hold_mode="hold",
            max_hold_sec=3600,
            reason=None,
            words="",
            interval_sec=600,
            next_at=NOON,
        ),
        instruments={},
        days={},
    )
    return rules.replace(made, **parts)  # type: ignore[arg-type]


def day_of(value: float, stamps: list[int], now: int = NOON) -> page.Day:
    column = np.full(len(stamps), value)
    return page.day(np.array(stamps, dtype=np.int64), MetricColumns(column, column, column, column, column), now)


def test_nothing_that_changed_is_no_change() -> None:
    assert page.change(whole(), whole(version=2, now=NOON + 1)) is None


def test_a_change_holds_what_changed_and_nothing_else() -> None:
    engaged = page.kill_switch(True)
    days = {"EUR_USD": day_of(0.5, [NOON]), "USD_JPY": day_of(0.5, [NOON])}
    newer = days | {"USD_JPY": day_of(0.6, [NOON])}
    found = page.change(whole(days=days), whole(version=2, now=NOON + 1, kill_switch=engaged, days=newer))
    assert found == Change(version=2, now=NOON + 1, kill_switch=engaged, days={"USD_JPY": newer["USD_JPY"]})
    assert set(msgspec.json.decode(msgspec.json.encode(found))) == {"version", "now", "kill_switch", "days"}


def test_a_page_together_with_its_changes_is_the_newer_page() -> None:
    old, new = whole(), whole(version=2, now=NOON + 9, gates=msgspec.structs.replace(GATES, open=1, next_at=NOON + 1))
    found = page.change(old, new)
    assert found is not None
    parts = {name: getattr(found, name) for name in page.PARTS if getattr(found, name) is not None}
    merged = msgspec.structs.replace(old, version=found.version, now=found.now, **parts)
    assert merged == new


def test_a_day_is_the_means_of_its_quarters() -> None:
    end = NOON
    stamps = [end - 16 * MINUTE_MS, end - 14 * MINUTE_MS, end - 2 * MINUTE_MS, end]
    column = np.array([0.1, 0.2, 0.4, 0.9])
    found = page.day(np.array(stamps, dtype=np.int64), MetricColumns(*(column,) * 5), end)
    assert found.end == end
    assert len(found.C) == page.POINTS
    assert found.C[-2:] == [10, 50]
    assert found.C[:-2] == [None] * (page.POINTS - 2)
    assert found.C == found.S == found.H == found.R


def test_a_day_begins_after_its_first_edge_and_leaves_the_quarter_that_runs_out() -> None:
    found = day_of(1.0, [NOON - DAY_MS, NOON - DAY_MS + 1, NOON + 1], now=NOON + 14 * MINUTE_MS)
    assert found.end == NOON
    assert found.C == [100] + [None] * (page.POINTS - 1)


def test_history_points_are_columns() -> None:
    points = [ManifoldPoint(ts=ts, signature="s", C=0.1, S=0.2, H=0.3, R=0.4, lambda_=0.5) for ts in (1, 2)]
    stamps, metrics = page.columns(points)
    assert stamps.tolist() == [1, 2]
    assert [column.tolist() for column in metrics] == [[0.1] * 2, [0.2] * 2, [0.3] * 2, [0.4] * 2, [0.5] * 2]
    assert page.columns([])[1].size == 0


def test_sessions_are_those_of_the_instruments_with_their_next_openings() -> None:
    found = page.sessions(CALENDAR, ["EUR_USD", "EUR_CHF"], NOON, 5)
    assert [(one.name, one.currencies) for one in found.sessions] == [("London", ["CHF", "EUR"]), ("New York", ["USD"])]
    start, end = found.sessions[0].openings[0]
    assert start <= NOON < end
    assert found.week[0][0] <= NOON < found.week[0][1]


def test_on_a_weekend_the_next_openings_are_known() -> None:
    saturday = NOON + 3 * DAY_MS
    found = page.sessions(CALENDAR, ["EUR_USD"], saturday, 5)
    assert all(one.openings[0][0] > saturday for one in found.sessions)
    assert found.week[0][0] > saturday


@pytest.mark.parametrize(("engaged", "words"), [(True, "engaged"), (False, "released"), (None, "missing")])
def test_the_kill_switch_has_words(engaged: bool | None, words: str) -> None:
    assert words in page.kill_switch(engaged).words


def test_a_hold_says_why_and_over_which_shut_gates() -> None:
    status = msgspec.structs.replace(
        samples.status(epoch=1), held=True, held_since=NOON, reason="gates_stale", held_closed=["EUR_USD"]
    )
    assert page.allocation_words(status) == (
        "It holds the weights as they are: the gates are too old. A weight stands on a closed gate: EUR_USD."
    )
    assert page.allocation_words(msgspec.structs.replace(status, held=False, reason="allocated")) == "New weights."
    assert "not reported" in page.allocation_words(None)
