"""Time the kernels over 180 000 candles beside their naive twins, and tell how often windows meet the entry bounds.

``python -m benchmarks.kernels [--json]``; real candles where the shared data lies beside the project, simulated ones otherwise.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kernels import texture
from kernels.encoding import encode
from kernels.structure import Family, Structure, measure
from tests.kernels import naive
from tests.kernels.market import Bars, recorded, walk

CANDLES = Path(__file__).resolve().parents[1] / "../shared/data/candles"
SIZE = 180_000
SAMPLE = 150  # windows that the naive twins measure
REPEATS = 3
BOUNDS = ("C >= 0.55", "S >= 0.40", "H <= 0.70", "R <= 0.60")


def main() -> None:
    """Print the figures as a table, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    as_json = parser.parse_args().json
    feeds = _feeds()
    name, bars = next(iter(feeds.items()))
    bars = bars.take(slice(0, SIZE))
    result = {"candles": name, "microseconds_per_window": _timings(bars), "shares": _shares(feeds)}
    print(json.dumps(result, indent=2) if as_json else _tables(result))


def _feeds() -> dict[str, Bars]:
    files = sorted(CANDLES.glob("*/*_M1.csv.gz"))
    if not files:
        return {"simulated walk": walk(1, SIZE)}
    files.sort(key=lambda file: "dev/EUR_USD" not in str(file))
    return {f"{file.parent.name}/{file.name.removesuffix('_M1.csv.gz')}": recorded(file) for file in files}


def _timings(bars: Bars) -> dict[str, dict[str, float]]:
    bits = encode(*bars)
    closes, listed = bars.close.tolist(), bits.tolist()
    rupture = measure("native", *bars).rupture
    windows = len(rupture)
    fast: dict[str, Callable[[], Any]] = {
        "calibrated": lambda: measure("calibrated", *bars),
        "native": lambda: measure("native", *bars),
        "texture": lambda: texture.measure(bits, rupture),
    }
    slow: dict[str, Callable[[int], Any]] = {
        "calibrated": lambda i: naive.calibrated(closes[i : i + 129]),
        "native": lambda i: naive.native(listed[i : i + 128]),
        "texture": lambda i: naive.texture(listed[i : i + 128], float(rupture[i])),
    }
    sample = np.linspace(0, windows - 1, SAMPLE).astype(int).tolist()
    figures = {}
    for name, run in fast.items():
        ours = min(_seconds(run) for _ in range(REPEATS)) / windows
        theirs = _seconds(lambda twin=slow[name]: [twin(i) for i in sample]) / SAMPLE
        figures[name] = {"ours": ours * 1e6, "naive": theirs * 1e6, "times_faster": theirs / ours}
    return figures


def _seconds(run: Callable[[], Any]) -> float:
    """Return the processor time of one run, so that neighbours on the machine count less."""
    began = time.process_time()
    run()
    return time.process_time() - began


def _shares(feeds: dict[str, Bars]) -> dict[str, dict[str, dict[str, float]]]:
    families: tuple[Family, ...] = ("calibrated", "native")
    return {
        family: {name: _met(measure(family, *bars)) for name, bars in _with_walks(feeds).items()} for family in families
    }


def _with_walks(feeds: dict[str, Bars]) -> dict[str, Bars]:
    """Add Gaussian walks, without drift and with one of a fifth of the step."""
    walks = {}
    for name, drift in (("Gaussian walk", 0.0), ("drifting walk", 0.2)):
        steps = np.random.default_rng(1).normal(drift, 1.0, SIZE)
        close = np.exp(1e-4 * np.cumsum(steps))
        walks[name] = Bars(close, close, close, np.zeros(SIZE))
    return feeds | walks


def _met(structure: Structure) -> dict[str, float]:
    c, s, h, r = structure
    met = dict(zip(BOUNDS, (c >= 0.55, s >= 0.40, h <= 0.70, r <= 0.60), strict=True))
    met["all four"] = np.logical_and.reduce(list(met.values()))
    return {name: float(np.mean(mask)) for name, mask in met.items()}


def _tables(result: dict[str, Any]) -> str:
    lines = [f"Processor time per window, {result['candles']}, µs", f"{'':12}{'ours':>10}{'naive':>10}{'faster':>10}"]
    for name, row in result["microseconds_per_window"].items():
        lines.append(f"{name:12}{row['ours']:10.3f}{row['naive']:10.0f}{row['times_faster']:9.0f}x")
    for family, feeds in result["shares"].items():
        lines += [
            "",
            f"Windows that meet each bound, {family}, %",
            f"{'':22}" + "".join(f"{b:>11}" for b in [*BOUNDS, "all four"]),
        ]
        lines += [
            f"{feed:22}" + "".join(f"{100 * share:11.1f}" for share in row.values()) for feed, row in feeds.items()
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
