"""``config/live_params.yaml``: what it says is in force; what is wrong with it is told with its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hotbandd.adapters.live_params import FileParams
from hotbandd.errors import InputError

STRATEGIES = ("combined", "fade")
GOOD = """
# promoted on Monday
global:
  params: {c_min: 0.5}
  summary: {calmar: 2.0}
instruments:
  EUR_USD:
    params:
      c_min: 0.6   # by hand
      direction_lookback: 24
    summary: {calmar: 1.0}
  USD_JPY:
    params: {c_min: p80, strategy: fade, tp_bps: null}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "live_params.yaml"
    path.parent.mkdir()
    return path


def params(file: Path) -> FileParams:
    return FileParams(file.parents[1], STRATEGIES)


async def test_without_a_file_and_with_an_empty_one_nothing_differs_from_the_settings(file: Path) -> None:
    source = params(file)
    assert await source.read() == {}
    file.write_text("")
    assert await source.read() == {}
    file.write_text("instruments:\n")
    assert await source.read() == {}


async def test_each_instrument_has_the_parameters_of_its_entry(file: Path) -> None:
    file.write_text(GOOD)
    assert await params(file).read() == {
        "EUR_USD": {"c_min": 0.6, "direction_lookback": 24},
        "USD_JPY": {"c_min": "p80", "strategy": "fade", "tp_bps": None},
    }


async def test_a_change_is_seen_and_an_unchanged_file_is_not_read_again(file: Path) -> None:
    file.write_text(GOOD)
    source = params(file)
    before = await source.read()
    assert await source.read() is before
    file.write_text(GOOD.replace("0.6", "0.7"))
    os.utime(file, ns=(1, 1))
    assert (await source.read())["EUR_USD"]["c_min"] == 0.7
    file.unlink()
    assert await source.read() == {}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("instruments: {EUR_USD: {params: {c_min: 0.6}}\n", 2, "it is not YAML"),
        ("a: 1\na: 2\n", 2, "it is not YAML"),
        (
            "instruments:\n  EUR_USD:\n    params:\n      c_mim: 0.6\n",
            4,
            "instruments.EUR_USD.params.c_mim is no parameter",
        ),
        (
            "instruments:\n  EUR_USD:\n    params:\n      c_min: high\n",
            4,
            "c_min cannot be 'high': 'high' is no threshold",
        ),
        ("instruments:\n  EUR_USD:\n    params:\n      c_min: true\n", 4, "cannot be True: Expected `float | str`"),
        (
            "instruments:\n  EUR_USD:\n    params:\n\n      direction_lookback: 0\n",
            5,
            "cannot be 0: Expected `int` >= 1",
        ),
        ("instruments:\n  EUR_USD:\n    params: {strategy: theirs}\n", 3, "take one of combined, fade"),
        ("instruments:\n  eurusd:\n    params: {c_min: 0.6}\n", 2, "instruments.eurusd is no instrument"),
        ("instruments:\n  EUR_USD: 0.6\n", 2, "instruments.EUR_USD must hold names with values"),
        ("instruments:\n  EUR_USD: {c_min: 0.6}\n", 2, "instruments.EUR_USD needs params"),
        ("instrument:\n  EUR_USD: {params: {}}\n", 1, "instrument is not known here; there are instruments and global"),
        ("- EUR_USD\n", 1, "The document must hold names with values"),
    ],
)
async def test_what_is_wrong_is_told_with_its_line(file: Path, text: str, line: int, reason: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError) as fault:
        await params(file).read()
    assert str(fault.value).startswith(f"{file}, line {line}: ")
    assert reason in str(fault.value)


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"a: " + b"[" * 5000, b"\x00", b"!!python/object:os.system ls"])
async def test_bytes_that_are_no_document_are_one_sentence(file: Path, raw: bytes) -> None:
    file.write_bytes(raw)
    with pytest.raises(InputError, match=r"live_params\.yaml"):
        await params(file).read()


async def test_what_was_refused_is_refused_again_until_it_is_mended(file: Path) -> None:
    file.write_text(GOOD)
    source = params(file)
    await source.read()
    file.write_text("instruments: [")
    for _ in range(2):
        with pytest.raises(InputError):
            await source.read()
    file.write_text(GOOD)
    assert "EUR_USD" in await source.read()
