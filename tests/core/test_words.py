"""Every reason has words, and times read as people say them."""

from __future__ import annotations

import pytest

from hotbandd.core import allocation, gates, words


def test_every_reason_has_words_of_its_own():
    for table, reasons in (
        (words.GATE, gates.Reason),
        (words.GATE_BRIEF, gates.Reason),
        (words.ALLOCATION, allocation.Reason),
    ):
        assert list(table) == list(reasons)
        assert len(set(table.values())) == len(table)
        assert not [text for text in table.values() if "_" in text or text.endswith(".")]


def test_brief_words_fit_a_column():
    assert max(map(len, words.GATE_BRIEF.values())) <= 30


def test_a_code_of_a_later_version_is_told_as_it_is():
    assert words.gate("moon_is_full") == words.allocated("moon_is_full") == "moon is full"
    assert words.gate("recent_loss") == "it did not earn in the last 14 days"
    assert words.gate("recent_loss", brief=True) == "no gain in 14 days"


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (-5, "0 s"),
        (999, "0 s"),
        (42_500, "42 s"),
        (300_000, "5 min"),
        (3_600_000, "1 h"),
        (7_800_000, "2 h 10 min"),
        (86_400_000, "1 d"),
        (273_600_000, "3 d 4 h"),
    ],
)
def test_durations(milliseconds, told):
    assert words.duration(milliseconds) == told


@pytest.mark.parametrize(
    ("milliseconds", "told"), [(-1, "0:00"), (7_000, "0:07"), (247_999, "4:07"), (7_800_000, "2 h 10 min")]
)
def test_countdowns(milliseconds, told):
    assert words.countdown(milliseconds) == told


def test_a_missing_kill_switch_counts_as_engaged():
    assert "no weight rises" in words.kill_switch(None)
    assert words.kill_switch(False) == "released"
