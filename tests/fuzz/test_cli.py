"""Every command with words, bytes and settings that nobody should give it: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.cli.app import app
from tests.cli.conftest import Cli, cli  # noqa: F401  a fixture
from tests.fuzz.amount import examples
from tests.processes import COMMAND, Ended, bare_environment

CODES = {0, 1, 2, 3, 4}
NUMBERS = ["0", "1", "-1", "90", "1e9", "nan", "inf", "9" * 30, "0x1", "٣", ""]
NAMES = [
    "EUR_USD",
    "eur_usd",
    "../../etc/passwd",
    "EUR_USD/..",
    "*",
    "EUR:USD",
    "EUR_USD\n",
    "ЕUR_USD",
    "A" * 300,
    "\ud800",
    "%s",
    "",
]
TIMES = [
    "2024-03-05",
    "2024-02-30",
    "0000-01-01",
    "9999-12-31T23:59:59+00:00",
    "2024-03-05T10:00:00+99:00",
    "-1",
    "now",
    "1e9",
]
WORDS = [
    "c_min=0.6",
    "c_min=nan",
    "c_min",
    "=",
    "tp_bps=1e999",
    "strategy=../x",
    "max",
    "strict",
    "native",
    "backfill",
    "backfill,backfill",
    ",",
]
TEXTS = [*NUMBERS, *NAMES, *TIMES, *WORDS, "-", "--", "--help", "--json"]
FILES = {"input", "output", "candles", "out", "spec", "plot", "env-file"}
PATHS = ["-", ".", "none", "none/none.csv", "EUR_USD_M1.csv", "EUR_USD.json", "x" * 300, "spec.yaml", ""]
BYTES = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"[" * 5000,
    b"time_ms,open,high,low,close,volume\n1,1,1,1,1,1\n",
    b'{"candles":[{"t":1}]}',
    b"instruments: [{instrument: ../x}]\n",
    b"instruments: [{instrument: EUR_USD}]\n",
    b"\x1f\x8b\x08\0",
]


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return the commands that do something, by the words that name them."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return [(path, command)]
    return [found for name, each in inner.items() for found in leaves(each, (*path, name))]


COMMANDS = leaves(typer.main.get_command(app))
LASTS = {"demo": ("--http", "nowhere")}  # what would run for long, if it ran


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """Draw a command line whose paths stay in the working directory."""
    path, command = draw(st.sampled_from(COMMANDS))
    words = list(path)
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            words += draw(st.lists(st.sampled_from(TEXTS), min_size=int(parameter.required), max_size=2))
        elif draw(st.booleans()):
            words.append(parameter.opts[0])
            if not getattr(parameter, "is_flag", False):
                words.append(draw(_values(parameter)))
    return [
        *words,
        *draw(st.lists(st.sampled_from(["--nonsense", "extra", "--json=1"]), max_size=1)),
        *LASTS.get(path[0], ()),
    ]


def _values(parameter: Any) -> st.SearchStrategy[str]:
    names = {word.strip("-") for word in parameter.opts}
    return st.sampled_from(PATHS if names & FILES else TEXTS)


def well_refused(ended: Ended) -> None:
    assert ended.code in CODES
    assert "Traceback" not in ended.err
    assert ended.code == 0 or ended.err or ended.out
    assert len(ended.err) < 20_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(f"{1_709_510_400_000 + 60_000 * minute},1,1,1,1,5\n" for minute in range(50))
    (tmp_path / "EUR_USD_M1.csv").write_text(f"time_ms,open,high,low,close,volume\n{rows}")
    (tmp_path / "EUR_USD.json").write_text('{"candles":[{"t":1}]}')
    (tmp_path / "spec.yaml").write_text("instruments: [{instrument: ../x}]\n")
    return tmp_path


@given(lines(), st.sampled_from(BYTES))
@examples(short=40, full=6000)
def test_whatever_the_words_are_it_ends_with_a_sentence(cli: Cli, folder: Path, words: list[str], stdin: bytes) -> None:  # noqa: F811
    beside = set(folder.parent.iterdir())
    well_refused(cli(*words, stdin=stdin))
    assert set(folder.parent.iterdir()) == beside


@pytest.mark.parametrize("command", [" ".join(path) for path, _ in COMMANDS])
def test_every_command_refuses_settings_that_make_no_sense(cli: Cli, folder: Path, command: str) -> None:  # noqa: F811
    given_words = {
        "backtest": ["EUR_USD"],
        "explain": ["EUR_USD"],
        "calibrate": ["--days", "1"],
        "trials": ["spec.yaml"],
        "manifold": ["--input", "EUR_USD_M1.csv"],
    }
    given_words |= {"replay": ["--candles", ".", "--from", "2024-03-05", "--to", "2024-03-06"]}
    if command in {"demo", "schema", "doctor"}:
        return  # they read none, or look at them among all else
    ended = cli(
        *command.split(),
        *given_words.get(command, []),
        HOTBAND_PAIRS="../x",
        EVAL_MIN_TRADES="many",
        VALKEY_URL="http://u:hush-hush@h",
    )
    well_refused(ended)
    assert ended.code == 2, ended.err
    assert "HOTBAND_PAIRS" in ended.err
    assert "EVAL_MIN_TRADES" in ended.err
    assert "hush-hush" not in ended.err


@pytest.mark.parametrize("stdin", BYTES)
@pytest.mark.parametrize("command", ["trials -", "manifold --input -"])
def test_bytes_on_standard_input_are_read_or_refused(folder: Path, command: str, stdin: bytes, full: bool) -> None:
    """A process of its own, as the standard streams of a process are bytes of their own."""
    if not full and BYTES.index(stdin) % 4:
        return
    environment = bare_environment(folder, {})
    done = subprocess.run(
        [*COMMAND, *command.split()],
        input=stdin,
        capture_output=True,
        cwd=folder,
        env=environment,
        timeout=60,
        check=False,
    )
    well_refused(Ended(done.returncode, done.stdout.decode(), done.stderr.decode()))
