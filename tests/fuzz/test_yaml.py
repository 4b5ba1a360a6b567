"""YAML that nobody should write: one sentence with a line, in a moment, with nothing run and nothing guessed."""

from __future__ import annotations

import time
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.adapters import strategies, yaml_text
from hotbandd.adapters.live_params import FileParams
from hotbandd.core import live_params, trials
from hotbandd.errors import InputError, ParamsError
from tests.fuzz.amount import examples

RULES = strategies.rules()
LAUGHS = "a: &a [ha,ha,ha,ha,ha,ha,ha,ha,ha]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
ENTRY = "instruments: {EUR_USD: {params: {%s}}}\n"
GRID = "instruments: [{instrument: EUR_USD, overrides: {%s}}]\n"

NAMES = "instruments global params EUR_USD eurusd ../x c_min tp_bps strategy window_days defaults overrides instrument"
MARKS = [
    ": ",
    ":",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "{",
    "}",
    "[",
    "]",
    ",",
    " #",
    "|",
    ">",
    "'",
    '"',
    "?",
    "---\n",
    "...\n",
    "\t",
]
TAGS = [
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "!!bool ",
    "!!omap ",
    "!!set ",
    "!!binary ",
    "!!python/object/apply:os.system ",
    "!x ",
]
VALUES = f"0.5 -1 1e999 .nan -.inf 0x{'f' * 40} 0o7 1:2:3 2020-01-01 true null ~ p80".split()
WORDS = [*NAMES.split(), *MARKS, *TAGS, *VALUES, "%YAML 1.2\n", "\x00", "\u2028", "\ufeff", "é"]
TEXTS = st.one_of(st.lists(st.sampled_from(WORDS), max_size=40).map("".join), st.text(max_size=80)).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)


def refused(read: Any) -> str | None:
    """Read; return the sentence of a refusal, None where there is none."""
    try:
        read()
    except (InputError, ParamsError) as error:
        return str(error)
    return None


def live(data: bytes) -> Any:
    return live_params.parse(yaml_text.load(data), RULES)


def spec(data: bytes) -> Any:
    return trials.parse(yaml_text.load(data), RULES)


@given(st.one_of(TEXTS, st.binary(max_size=60)))
@examples(short=400, full=40_000)
def test_whatever_the_bytes_are_it_is_parameters_or_a_sentence(data: bytes) -> None:
    for read in (live, spec):
        sentence = refused(lambda read=read: read(data))
        assert sentence is None or (sentence and "\n" not in sentence and len(sentence) < 1500)
    if refused(lambda: yaml_text.load(data)) is None:
        assert yaml_text.line_of(data, ("instruments", "EUR_USD", "params", "c_min")) >= 1


@given(st.sampled_from(sorted(live_params._KNOWN)), st.sampled_from(WORDS))
@examples(short=200, full=5000)
def test_no_value_but_a_possible_one_becomes_a_parameter(name: str, word: str) -> None:
    values: list[Any] = []
    with suppress(InputError, ParamsError):
        values += live((ENTRY % f"{name}: {word}").encode()).get("EUR_USD", {}).values()
    with suppress(InputError, ParamsError):
        grid = spec((GRID % f"{name}: {word}").encode()).instruments["EUR_USD"]
        values += [value for axis in grid.axes.values() for value in axis]
    for value in values:
        assert value is None or isinstance(value, str) or isfinite(value)
        assert not isinstance(value, bool)
        assert word not in {"1e999", ".nan", "-.inf", "-1", "true"} or isinstance(value, str)


NASTY = {
    "billion laughs": LAUGHS,
    "laughs in their place": f"{LAUGHS}instruments: *i\n",
    "a list in itself": "instruments: &a [*a]\n",
    "a mapping in itself": "instruments: &a {EUR_USD: *a}\n",
    "merged with itself": "a: &a\n  <<: *a\n",
    "a key in itself": "&a ? *a : 1\n",
    "deep brackets": "[" * 5000,
    "deep closed brackets": "[" * 5000 + "]" * 5000,
    "deep braces": "{a: " * 2000,
    "deep blocks": "".join(" " * level + "a:\n" for level in range(500)),
    "deep lists": "- " * 3000,
    "deep keys": "? " * 3000,
    "a tag that runs": "instruments: !!python/object/apply:os.system [touch ran]\n",
    "a tag of ours": "instruments: !EUR_USD {}\n",
    "duplicate keys": "instruments: {EUR_USD: {params: {c_min: 0.5}}, EUR_USD: {params: {c_min: 0.9}}}\n",
    "duplicate parameters": ENTRY % "c_min: 0.5, c_min: 0.9",
    "not a number": ENTRY % "c_min: .nan",
    "not a number, negative": ENTRY % "cost_bps: -.NaN",
    "infinite": ENTRY % "tp_bps: .inf",
    "beyond floats": ENTRY % "tp_bps: 1e999",
    "a huge number": ENTRY % f"direction_lookback: {'9' * 5000}",
    "a huge hexadecimal number": ENTRY % f"direction_lookback: 0x{'f' * 900}",
    "a number beyond all bounds": ENTRY % f"direction_lookback: 0x{'f' * 5000}",
    "a long line": "a: " + "x" * 3_000_000,
    "many keys": "".join(f"k{number}: 1\n" for number in range(20_000)),
    "two documents": "instruments: {}\n---\ninstruments: {EUR_USD: {params: {c_min: 0.9}}}\n",
    "binary": "instruments: !!binary x\n",
    "no text": "\x00\x01\x02",
    "half of a character": b"a: \xc3",
    "another encoding": "instruments: {}\n".encode("utf-16"),
}


@pytest.mark.parametrize("name", NASTY)
def test_what_is_made_to_break_readers_is_refused_at_once_with_its_line(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = NASTY[name]
    data = text if isinstance(text, bytes) else text.encode()
    file = tmp_path / "config" / "live_params.yaml"
    file.parent.mkdir()
    file.write_bytes(data)
    began = time.process_time()
    with pytest.raises(InputError) as fault:
        anyio.run(FileParams(tmp_path, RULES).read)
    assert str(fault.value).startswith(f"{file}, line ")
    assert len(str(fault.value)) < 1000
    assert refused(lambda: spec(data))
    assert time.process_time() - began < 20
    assert not (tmp_path / "ran").exists()


def test_the_bounds_are_beyond_what_anyone_needs() -> None:
    entry = {
        "params": dict.fromkeys(("direction_lookback", "dir_threshold_bps", "tp_bps", "sl_bps", "cost_bps"), 1),
        "promoted": "2026-01-01",
    }
    document = {"instruments": {f"AAA_B{number:03d}": entry for number in range(500)}}
    assert len(live(yaml_text.dump(document))) == 500


def test_a_value_may_be_named_once_and_used_often() -> None:
    found = spec(
        b"defaults: &d {c_min: [0.5, 0.6]}\ninstruments: [{instrument: EUR_USD, overrides: *d}, {instrument: USD_JPY, overrides: *d}]\n"
    )
    assert trials.count(found) == 4
