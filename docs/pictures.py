"""Draw the pictures of ``docs/kernels.md`` from a folder of real candles.

python -m docs.pictures FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np

from hotbandd.core.candle_files import read_candles
from hotbandd.core.candles import Candles
from hotbandd.core.manifold import structure_of
from kernels.structure import Family, Structure, measure

mpl.use("Agg")
from matplotlib import pyplot as plt

IMAGES = Path(__file__).parent / "images"
HOURS = 6 * 60
WINDOW = 128
NAMES = {"coherence": "C", "stability": "S", "entropy": "H", "rupture": "R"}
COLOURS = {"coherence": "#0072b2", "stability": "#009e73", "entropy": "#e69f00", "rupture": "#d55e00"}
BOUNDS = {"coherence": 0.55, "stability": 0.40, "entropy": 0.70, "rupture": 0.60}


class Stretch(NamedTuple):
    """Some hours of a feed: what they show, closes, and the metrics at each of them."""

    title: str
    close: np.ndarray
    structure: Structure


def main(folder: Path) -> None:
    """Draw all pictures."""
    plt.rcParams.update(
        {
            "font.size": 9,
            "svg.fonttype": "none",
            "svg.hashsalt": "hotband",
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    feeds = dict(_feeds(folder))
    euro = feeds["dev/EUR_USD"]
    _stretches(_three(euro, feeds["dev/GBP_USD"]))
    _jumps(euro)
    _shares(feeds)
    _uniform()


def _feeds(folder: Path) -> Iterator[tuple[str, Candles]]:
    for file in sorted(folder.glob("*/*_M1.csv.gz")):
        yield (
            f"{file.parent.name}/{file.name.removesuffix('_M1.csv.gz')}",
            read_candles(file.read_bytes(), file.name).candles,
        )


def _three(euro: Candles, pound: Candles) -> list[Stretch]:
    """Find a trend, a range and a dead market: where C is highest, where C is lowest though prices move, where least moves."""
    found = []
    for title, candles, score in (
        ("trend (EUR_USD)", euro, lambda s, m: s.coherence + s.stability - 3.0 * (m < 100)),
        ("range (EUR_USD)", euro, lambda s, m: -s.coherence - s.rupture - 3.0 * (m < 100)),
        ("dead market (GBP_USD, four decimals)", pound, lambda s, m: -m.astype(np.float64)),
    ):
        structure = structure_of("calibrated", candles)
        moves = np.convolve(np.diff(candles.close) != 0, np.ones(WINDOW, dtype=np.int64), "valid")
        smooth = np.convolve(score(structure, moves), np.ones(HOURS) / HOURS, "valid")
        gaps = np.diff(candles.t, prepend=candles.t[0])[WINDOW:] > 600_000
        smooth[np.convolve(gaps, np.ones(HOURS), "valid") > 0] = -np.inf
        at = int(np.argmax(smooth))
        part = slice(at, at + HOURS)
        found.append(Stretch(title, candles.close[WINDOW:][part], Structure(*(column[part] for column in structure))))
    return found


def _stretches(stretches: list[Stretch]) -> None:
    figure, axes = plt.subplots(5, 3, figsize=(10, 6), sharex=True, height_ratios=(2, 1, 1, 1, 1))
    hours = np.arange(HOURS) / 60.0
    for column, (title, close, structure) in zip(axes.T, stretches, strict=True):
        column[0].plot(hours, (close / close[0] - 1.0) * 1e4, color="black", linewidth=0.9)
        column[0].set_title(title, fontsize=9)
        for axis, (name, values) in zip(column[1:], structure._asdict().items(), strict=True):
            axis.fill_between(hours, values, color=COLOURS[name], alpha=0.25, linewidth=0)
            axis.plot(hours, values, color=COLOURS[name], linewidth=0.9)
            axis.axhline(BOUNDS[name], color="black", linewidth=0.6, linestyle=":")
            axis.set_ylim(0, 1.02)
            axis.set_yticks([0, 1])
        column[-1].set_xlabel("hours")
    axes[0, 0].set_ylabel("price, bps")
    for axis, name in zip(axes[1:, 0], NAMES.values(), strict=True):
        axis.set_ylabel(name, rotation=0, labelpad=10, va="center")
    _save(figure, "stretches")


def _jumps(candles: Candles) -> None:
    """Show the same hours in both families."""
    part = slice(20_000, 20_000 + 3 * 60)
    figure, axes = plt.subplots(2, 1, figsize=(10, 4.2), sharex=True)
    minutes = np.arange(part.stop - part.start)
    for axis, family in zip(axes, ("calibrated", "native"), strict=True):
        structure = structure_of(family, candles)  # type: ignore[arg-type]
        for name in ("coherence", "entropy", "rupture"):
            axis.step(
                minutes,
                getattr(structure, name)[part],
                color=COLOURS[name],
                linewidth=1.1,
                label=NAMES[name],
                where="post",
            )
        axis.axhline(BOUNDS["coherence"], color=COLOURS["coherence"], linewidth=0.6, linestyle=":")
        axis.set_ylim(-0.02, 1.02)
        axis.set_ylabel(family)
    axes[1].set_xlabel("minutes (EUR_USD)")
    axes[0].legend(loc="upper right", frameon=False, ncols=3)
    _save(figure, "jumps")


def _shares(feeds: dict[str, Candles]) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True)
    for axis, family in zip(axes, ("calibrated", "native"), strict=True):
        rows = np.array([_met(family, candles) for candles in feeds.values()])  # type: ignore[arg-type]
        places = np.arange(len(feeds))
        for i, name in enumerate(BOUNDS):
            sign = "≥" if name in {"coherence", "stability"} else "≤"
            axis.barh(
                places + 0.2 * (1.5 - i),
                rows[:, i],
                height=0.19,
                color=COLOURS[name],
                label=f"{NAMES[name]} {sign} {BOUNDS[name]:g}",
            )
        axis.plot(rows[:, 4], places, "k|", markersize=14, markeredgewidth=2, label="all four")
        axis.set_yticks(places, list(feeds))
        axis.set_xlabel(f"windows that meet the bound, % ({family})")
    axes[1].legend(loc="center", frameon=True, framealpha=0.95, fontsize=8)
    _save(figure, "shares")


def _met(family: Family, candles: Candles) -> list[float]:
    c, s, h, r = structure_of(family, candles)
    masks = [c >= BOUNDS["coherence"], s >= BOUNDS["stability"], h <= BOUNDS["entropy"], r <= BOUNDS["rupture"]]
    return [float(mask.mean()) * 100 for mask in (*masks, np.logical_and.reduce(masks))]


def _uniform() -> None:
    """Draw the distribution of each metric on walks that go nowhere."""
    draw = np.random.default_rng(20)
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True)
    walks = {
        "Gaussian steps": draw.standard_normal((WINDOW, 4000)),
        "Student t steps, 4 degrees": draw.standard_t(4, (WINDOW, 4000)),
        "steps of ±1": draw.choice([-1.0, 1.0], (WINDOW, 4000)),
    }
    for axis, (title, steps) in zip(axes, walks.items(), strict=True):
        path = np.concatenate((np.zeros((1, steps.shape[1])), np.cumsum(steps, axis=0)))
        close = np.exp(1e-4 * path)
        for name, column in measure("calibrated", close, close, close, np.zeros_like(close))._asdict().items():
            axis.plot(
                np.sort(column[0]),
                np.linspace(0, 1, column.size),
                color=COLOURS[name],
                linewidth=1.2,
                label=NAMES[name],
            )
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("value")
    axes[0].set_ylabel("share of windows below")
    axes[0].legend(loc="upper left", frameon=False)
    _save(figure, "uniform")


def _save(figure: plt.Figure, name: str) -> None:
    figure.tight_layout()
    figure.savefig(IMAGES / f"{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
