"""Time the kernels beside their naive twins and beside plain numpy, over windows, instruments and single extensions.

``python -m benchmarks.kernels [--json]``; real candles where the shared data lies beside the project, simulated ones otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy loads its BLAS: one core is timed

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import plain
from hotbandd.core import manifold
from hotbandd.core.candles import MINUTE_MS, Candles, of_columns
from hotbandd.core.series import Series
from kernels import native, spectrum, texture
from kernels.encoding import encode
from kernels.structure import DECIMALS, Family, Structure, measure
from tests.kernels import naive
from tests.kernels.market import Bars, recorded, walk

CANDLES = Path(__file__).resolve().parents[1] / "../shared/data/candles"
SIZE = 181_000
SAMPLE = 100  # windows that the naive twins measure
PLAIN = 1000  # windows that the plain version measures
REPEATS = 5
BOUNDS = ("C >= 0.55", "S >= 0.40", "H <= 0.70", "R <= 0.60")
FAMILIES: tuple[Family, ...] = ("calibrated", "native")
Figures = list[dict[str, Any]]


def main() -> None:
    """Print the figures as tables, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    as_json = parser.parse_args().json
    feeds = _feeds()
    name, bars = next(iter(feeds.items()))
    bars = bars.take(slice(0, SIZE))
    result: dict[str, Figures] = {
        f"Processor time per window, {name}, {len(bars.close):,} candles, stride 1": _groups(bars),
        "Over windows, µs each": _over_windows(bars),
        "Over instruments, one new candle each, ms together": _over_instruments(bars),
        "One instrument extended by one candle, µs": _extensions(bars),
        "Peak memory over output": _memory(bars),
        "Windows that meet each bound, %": _shares(feeds),
    }
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        return
    console = Console()
    for title, rows in result.items():
        table = Table(*rows[0], title=title, title_justify="left")
        for row in rows:
            table.add_row(*(_shown(value) for value in row.values()))
        console.print(table)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 10 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _feeds() -> dict[str, Bars]:
    files = sorted(CANDLES.glob("*/*_M1.csv.gz"))
    if not files:
        return {"simulated walk": walk(1, SIZE)}
    files.sort(key=lambda file: "dev/EUR_USD" not in str(file))
    return {f"{file.parent.name}/{file.name.removesuffix('_M1.csv.gz')}": recorded(file) for file in files}


def _seconds(run: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Return the least processor time of some runs, so that neighbours on the machine count less."""
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        taken.append(time.process_time() - began)
    return min(taken)


def _call_seconds(run: Callable[[], Any], calls: int = 200) -> float:
    """Return the time of one of many short calls."""
    return _seconds(lambda: [run() for _ in range(calls)]) / calls


def _groups(bars: Bars) -> Figures:
    bits = encode(*bars)
    closes, listed = bars.close.tolist(), bits.tolist()
    rupture = measure("native", *bars).rupture
    calm = measure("calibrated", *bars).rupture
    windows = len(rupture)

    def suite(family: Family) -> None:
        found = measure(family, *bars)
        texture.measure(encode(*bars), found.rupture, decimals=DECIMALS)

    ours: dict[str, Callable[[], Any]] = {
        "calibrated C S H R": lambda: measure("calibrated", *bars),
        "native C S H R": lambda: measure("native", *bars),
        "texture, ten metrics": lambda: texture.measure(bits, rupture, decimals=DECIMALS),
        "of it the spectrum": lambda: spectrum.low_frequency_share(bits, 128),
        "native suite": lambda: suite("native"),
        "calibrated suite": lambda: suite("calibrated"),
    }

    def plain_texture(i: int) -> Any:
        return plain.texture(bits[i : i + 128], float(rupture[i]))

    plainly: dict[str, Callable[[int], Any]] = {
        "calibrated C S H R": lambda i: plain.calibrated(bars.close[i : i + 129]),
        "native C S H R": lambda i: plain.native(bits[i : i + 128]),
        "texture, ten metrics": plain_texture,
        "native suite": lambda i: (plain.native(bits[i : i + 128]), plain_texture(i)),
        "calibrated suite": lambda i: (plain.calibrated(bars.close[i : i + 129]), plain_texture(i)),
    }
    naively: dict[str, Callable[[int], Any]] = {
        "calibrated C S H R": lambda i: naive.calibrated(closes[i : i + 129]),
        "native C S H R": lambda i: naive.native(listed[i : i + 128]),
        "texture, ten metrics": lambda i: naive.texture(listed[i : i + 128], float(rupture[i])),
    }
    _agree(bars, bits, calm, plainly)
    return [
        _group_row(
            name,
            _seconds(run) / windows,
            _each(plainly.get(name), windows, PLAIN),
            _each(naively.get(name), windows, SAMPLE),
        )
        for name, run in ours.items()
    ]


def _agree(bars: Bars, bits: Any, calm: Any, plainly: dict[str, Callable[[int], Any]]) -> None:
    """Check that what is compared measures the same."""
    several = (("calibrated C S H R", measure("calibrated", *bars)), ("native C S H R", native.structure(bits, 128)))
    for name, whole in several:
        for i in range(0, len(calm), len(calm) // 50):
            assert np.allclose(plainly[name](i), [column[i] for column in whole], atol=1e-7), (name, i)


def _each(run: Callable[[int], Any] | None, windows: int, sample: int) -> float | None:
    if run is None:
        return None
    chosen = np.linspace(0, windows - 1, sample).astype(int).tolist()
    return _seconds(lambda: [run(i) for i in chosen], 1) / sample


def _group_row(name: str, ours: float, plainly: float | None, naively: float | None) -> dict[str, Any]:
    return {
        "group": name,
        "µs": ours * 1e6,
        "plain numpy, µs": "" if plainly is None else plainly * 1e6,
        "times": "" if plainly is None else plainly / ours,
        "naive twin, µs": "" if naively is None else naively * 1e6,
        "times ": "" if naively is None else naively / ours,
    }


def _over_windows(bars: Bars) -> Figures:
    rows = []
    for windows in (1_000, 10_000, 100_000, 1_000_000):
        times = -(-(windows + 128) // len(bars.close))
        long = Bars(*(np.tile(column, times)[: windows + 128] for column in bars))
        bits, rupture = encode(*long), np.full(windows, 0.5)
        rows.append(
            {
                "windows": windows,
                **{
                    f"{family} C S H R": _seconds(lambda f=family: measure(f, *long), 3) / windows * 1e6
                    for family in FAMILIES
                },
                "texture": _seconds(lambda: texture.measure(bits, rupture, decimals=DECIMALS), 3) / windows * 1e6,
            }
        )
    return rows


def _candles(bars: Bars) -> Candles:
    t = MINUTE_MS * np.arange(len(bars.close), dtype=np.int64)
    return of_columns(t, bars.close, bars.high, bars.low, bars.close, bars.volume)


def _over_instruments(bars: Bars) -> Figures:
    rows = []
    candles = _candles(bars)
    for count in (1, 10, 100, 1_000, 10_000):
        starts = np.linspace(0, candles.size - 129, count).astype(int).tolist()
        batches = {
            family: [manifold.columns_of(family, candles.take(slice(start, start + 129))) for start in starts]
            for family in FAMILIES
        }
        rows.append(
            {
                "instruments": count,
                **{
                    f"{family} C S H R": _seconds(lambda f=family: manifold.structures_of(f, batches[f]), 5) * 1e3
                    for family in FAMILIES
                },
            }
        )
    return rows


def _extensions(bars: Bars) -> Figures:
    last = bars.take(slice(-129, None))
    bits = encode(*last)
    rupture = measure("native", *last).rupture
    rows: Figures = [
        {"what": f"{family}: measure, C S H R", "µs": _call_seconds(lambda f=family: measure(f, *last)) * 1e6}
        for family in FAMILIES
    ]
    texture_sec = _call_seconds(lambda: texture.measure(bits, rupture, decimals=DECIMALS))
    rows.append({"what": "texture, ten metrics", "µs": texture_sec * 1e6})
    for family in FAMILIES:
        rows.append({"what": f"{family}: into a series, hazard and all", "µs": _series_seconds(bars, family) * 1e6})
    return rows


def _series_seconds(bars: Bars, family: Family) -> float:
    """Return the time of taking a candle into a series of 20 000, and measuring it."""
    candles, known = _candles(bars), 20_000
    series = Series()
    series.add(candles.take(slice(0, known)))
    manifold.measure_series(series, family)
    news = iter(range(known, candles.size))

    def extend() -> None:
        at = next(news)
        series.add(candles.take(slice(at, at + 1)))
        manifold.measure_series(series, family)

    return _call_seconds(extend)


def _memory(bars: Bars) -> Figures:
    bits = encode(*bars)
    rupture = np.full(len(bits) - 127, 0.5)
    runs: dict[str, Callable[[], Any]] = {
        "calibrated C S H R": lambda: measure("calibrated", *bars),
        "native C S H R": lambda: native.structure(bits, 128, decimals=DECIMALS),
        "texture": lambda: texture.measure(bits, rupture, decimals=DECIMALS),
        "native suite": lambda: (
            *measure("native", *bars),
            *texture.measure(encode(*bars), rupture, decimals=DECIMALS),
        ),
    }
    rows = []
    for name, run in runs.items():
        tracemalloc.start()
        output = sum(column.nbytes for column in run())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        rows.append({"group": name, "output, MB": output / 1e6, "peak, MB": peak / 1e6, "times": peak / output})
    return rows


def _shares(feeds: dict[str, Bars]) -> Figures:
    return [
        {"family": family, "feed": name, **_met(measure(family, *bars))}
        for family in FAMILIES
        for name, bars in _with_walks(feeds).items()
    ]


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
    return {name: float(np.mean(mask)) * 100 for name, mask in met.items()}


if __name__ == "__main__":
    main()
