"""The settings file, line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.settings.env_file import parse


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("K=v", "v"),
        ("export K=v", "v"),
        ("  K = v  ", "v"),
        ("K=", ""),
        ("K=v # why", "v"),
        ("K=v\t# why", "v"),
        ("K=# why", ""),
        ("K=redis://:p#ss@h", "redis://:p#ss@h"),
        ("K='v # no comment'", "v # no comment"),
        ("K='v' # why", "v"),
        ("K='a\\b'", "a\\b"),
        ('K="v # no comment" # why', "v # no comment"),
        ('K="{\\"A\\":1}"', '{"A":1}'),
        (r'K="a\\b\n"', r"a\b\n"),
        ('K={"EUR_USD": 0.1}', '{"EUR_USD": 0.1}'),
        ("K=a=b", "a=b"),
        ("\ufeffK=v\r", "v"),
    ],
)
def test_a_line_is_read_as_shells_read_it(line: str, value: str) -> None:
    found = parse(line)
    assert found.entries["K"].value == value
    assert not found.faults


@pytest.mark.parametrize("line", ["K", "=v", "1K=v", "K V=v", "K='v", 'K="v', "K='v'w", 'K="v"w', "K=a\0b", 'K="v\\"'])
def test_a_malformed_line_is_a_fault_with_its_number_and_without_its_text(line: str) -> None:
    found = parse(f"# first\n\n{line}\nL=1")
    assert found.faults == ["Line 3 of the settings file must be NAME=VALUE, with every quote closed."]
    assert set(found.entries) == {"L"}


def test_comments_and_empty_lines_say_nothing() -> None:
    assert parse("\n  \n# K=v\n   # K=w\n") == ({}, [], [])


def test_a_name_that_comes_again_counts_last_and_is_warned_of() -> None:
    found = parse("K=1\nL=2\nK=3")
    assert found.entries["K"] == ("3", 3)
    assert found.warnings == ["K stands in lines 1 and 3 of the settings file; the last one counts."]


@given(st.text(st.characters(exclude_characters="\n\0'")))
def test_what_stands_in_single_quotes_comes_back_as_it_is(value: str) -> None:
    assert parse(f"K='{value}' # comment").entries["K"].value == value


@given(st.text(st.characters(exclude_characters="\n\0")))
def test_what_is_escaped_in_double_quotes_comes_back_as_it_is(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'K="{escaped}"#').entries["K"].value == value


@given(st.text())
def test_any_text_is_read_or_named_by_line(text: str) -> None:
    found = parse(text)
    lines = sum(bool(line.strip()) for line in text.split("\n"))
    assert len(found.entries) + len(found.faults) <= lines
