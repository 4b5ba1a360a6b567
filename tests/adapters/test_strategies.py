"""Strategies of other distributions: found by their entry points, checked, traded on; a bad one is one clear sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hotbandd import parts
from hotbandd.adapters import strategies
from hotbandd.errors import SettingsError
from hotbandd.settings import load

MODULE = """
import numpy as np

def momentum(closes, metrics, params):
    sides = np.zeros(len(closes))
    sides[1:] = np.sign(np.diff(closes))
    return sides

def prophet(closes, metrics, params):
    sides = np.zeros(len(closes))
    sides[:-1] = np.sign(np.diff(closes))
    return sides

def broken(closes, metrics, params):
    return closes["close"]

def halved(closes, metrics, params):
    return np.full(len(closes), 0.5)

def short(closes, metrics, params):
    return np.zeros(3)

nameless = lambda closes, metrics, params: np.zeros(len(closes))
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution with some strategies on the path."""

    def put(*points: str, name: str = "theirs") -> None:
        (tmp_path / "their_rules.py").write_text(MODULE)
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = "\n".join(f"{point} = their_rules:{point.removeprefix('again_')}" for point in points)
        (folder / "entry_points.txt").write_text(f"[hotband.strategies]\n{lines}\n")
        strategies.rules.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    strategies.rules.cache_clear()
    yield put
    strategies.rules.cache_clear()
    sys.modules.pop("their_rules", None)


def test_without_other_distributions_there_are_the_built_in_ones(install: Install) -> None:
    assert set(strategies.rules()) == {"combined", "fade"}


def test_a_strategy_that_was_installed_is_one_that_can_be_chosen(install: Install) -> None:
    install("momentum")
    settings = load({"HOTBAND_STRATEGY": "momentum", "HOTBAND_SOURCE": "simulated"}, None).settings
    assert parts.evaluator(settings).params["EUR_USD"].strategy == "momentum"
    assert set(parts.setup(settings).rules) == {"combined", "fade", "momentum"}


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("prophet", "The strategy 'prophet' looks ahead: its side at candle"),
        ("broken", "The strategy 'broken' failed: IndexError("),
        ("halved", "The strategy 'halved' must give one of -1, 0, 1 for each candle."),
        ("short", "The strategy 'short' must give one of -1, 0, 1 for each candle."),
        ("nameless", "The strategy 'nameless' (their_rules:nameless) cannot be loaded"),
        ("missing", "The strategy 'missing' (their_rules:missing) cannot be loaded"),
        ("combined", "(their_rules:combined) cannot be loaded"),
    ],
)
def test_a_strategy_that_cannot_be_trusted_is_refused_with_its_name(install: Install, point: str, message: str) -> None:
    install(point)
    with pytest.raises(SettingsError) as refusal:
        strategies.rules()
    assert message in str(refusal.value)
    with pytest.raises(SettingsError):
        parts.evaluator(load({"HOTBAND_SOURCE": "simulated"}, None).settings)


def test_two_of_one_name_are_refused(install: Install) -> None:
    install("momentum")
    install("momentum", name="others")
    with pytest.raises(SettingsError, match="Two distributions bring a strategy 'momentum'"):
        strategies.rules()


def test_a_strategy_that_nobody_brings_is_named_with_those_there_are(install: Install) -> None:
    install("momentum")
    with pytest.raises(SettingsError, match="HOTBAND_STRATEGY must be one of combined, fade, momentum, not 'theirs'"):
        parts.evaluator(load({"HOTBAND_STRATEGY": "theirs", "HOTBAND_SOURCE": "simulated"}, None).settings)
