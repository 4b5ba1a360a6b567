"""One frame: never wider than the terminal, whatever is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hotbandd.cli import frame as drawing
from hotbandd.cli.frame import frame
from hotbandd.core import sessions
from hotbandd.core.explanation import Figure
from hotbandd.core.page import STEP_MS, UNKNOWN_SWITCH
from hotbandd.core.page import sessions as sessions_of
from hotbandd.core.page_documents import Allocation, Daemon, Day, Gates, Measured, Page, Row, Why

NOW = 1_718_800_200_000  # Wednesday 2024-06-19 12:30 UTC
CALENDAR = sessions.calendar(enabled=True)

moments = st.none() | st.integers(0, 2 * NOW)
percents = st.lists(st.none() | st.integers(0, 100), min_size=0, max_size=96)
shares = st.floats(0, 1)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    known = draw(st.booleans())
    metrics = {name: draw(shares) for name in "CSHR"}
    return Row(
        gate=draw(st.sampled_from([0, 1, None])),
        reasons=[Why("c", word, word) for word in draw(st.lists(st.text("ab [/]", max_size=60), max_size=4))],
        eligible=draw(st.booleans()),
        passes=draw(st.integers(0, 99)),
        fails=draw(st.integers(0, 99)),
        misses=draw(st.integers(0, 99)),
        required=draw(st.integers(1, 99)),
        needed=1,
        cooldown_until=draw(moments),
        session_open=True,
        session_changes_at=draw(moments),
        buffer=draw(st.none() | st.floats(0, 0.3)),
        evaluated_ts=draw(moments),
        param_key=None,
        outcome=None,
        figures=[
            Figure(name, draw(st.floats(-100, 100)), draw(st.floats(-100, 100)), "", 0.0, 0.0, stands)
            for name, stands in (("calmar, 30 days", "fails"), ("pnl, 30 days", "dead band"))
        ],
        guards=[],
        flip=[],
        measured=Measured(ts=draw(st.integers(0, NOW)), price=1.0, hazard=0.1, **metrics) if known else None,
        candle_at=None,
        weight=None,
        score=None,
        selected=False,
        held_closed=draw(st.booleans()),
    )


@st.composite
def pages(draw: st.DrawFn) -> Page:
    names = draw(st.lists(st.from_regex(r"[A-Z0-9]{2,12}_[A-Z0-9]{2,12}", fullmatch=True), max_size=5, unique=True))
    weights = {name: draw(shares) for name in names}
    return Page(
        version=1,
        now=NOW,
        stale_after_ms=300_000,
        daemon=Daemon(
            version="1",
            source="x",
            speed=draw(st.sampled_from([1.0, 60.0])),
            leading=False,
            holder=draw(st.none() | st.text("xyz-", min_size=1, max_size=80)),
            epoch=1,
            store_up=draw(st.booleans()),
            healthy=False,
            loaded=True,
            troubles=draw(st.lists(st.text("ab c", max_size=200), max_size=6)),
        ),
        kill_switch=replace(UNKNOWN_SWITCH, engaged=draw(st.sampled_from([True, False, None]))),
        sessions=sessions_of(CALENDAR, ("EUR_USD", "AUD_JPY"), NOW, 5),
        gates=Gates(
            ts=draw(moments),
            evaluated_ts=draw(moments),
            max_age_sec=1800,
            interval_sec=900,
            next_at=NOW,
            misses_to_cool=4,
            open=1,
            of=2,
        ),
        allocation=Allocation(
            ts=draw(moments),
            weights_ts=draw(moments),
            weights=weights,
            total=sum(weights.values()),
            target=draw(shares),
            cap=draw(shares),
            top_k=3,
            eligible=1,
            held=draw(st.booleans()),
            held_since=draw(moments),
            held_closed=[],
            hold_mode="hold",
            max_hold_sec=3600,
            reason="allocated",
            words=draw(st.text("abc ", max_size=150)),
            interval_sec=600,
            next_at=NOW,
        ),
        instruments={name: draw(rows()) for name in names},
        days={name: Day(end=NOW - NOW % STEP_MS, **{c: draw(percents) for c in "CSHR"}) for name in names[1:]},
    )


@given(page=pages(), width=st.integers(20, 250), lines=st.none() | st.integers(1, 60), offset=st.integers(0, 6))
def test_no_line_is_wider_than_the_terminal_and_no_frame_higher(page, width, lines, offset):
    shown = frame(page, width, rows=lines, offset=offset, seen_at=NOW)
    assert all(line.cell_len <= width for line in shown.lines)
    assert lines is None or len(shown.lines) <= lines
    assert shown.instruments <= max(0, len(page.instruments) - offset)


@given(page=pages())
def test_every_instrument_is_there_where_there_is_room(page):
    text = "\n".join(line.plain for line in frame(page, 200).lines)
    assert all(name in text for name in page.instruments)


@pytest.mark.parametrize(
    ("value", "full", "drawn"),
    [
        (0.0, 0.1, "··········"),
        (0.05, 0.1, "█████·····"),
        (0.1, 0.1, "██████████"),
        (0.3, 0.1, "██████████"),
        (0.001, 0.1, "▏·········"),
        (0.5, 0.0, "··········"),
    ],
)
def test_a_bar_is_as_long_as_its_share(value, full, drawn):
    assert drawing._bar(value, full).plain == drawn


@pytest.mark.parametrize(
    ("percents", "drawn"),
    [([], "    "), ([None] * 8, "    "), ([0, 0, None, None, 50, 50, 100, 100], "▁ ▅█"), ([0, 100, 12, 13], "▁█▁▂")],
)
def test_a_day_is_drawn_from_low_to_high_and_blank_where_nothing_is_known(percents, drawn):
    assert drawing._spark(percents, 4).plain == drawn
