"""``hotbandd calibrate``: what the bounds mean on a feed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from hotbandd.adapters.replay import ReplaySource
from hotbandd.cli import common
from hotbandd.core import calibration, manifold
from hotbandd.core.calibration import Bound, Calibration
from hotbandd.core.candle_files import read_candles
from hotbandd.core.candles import DAY_MS, Candles
from hotbandd.core.series import Series
from hotbandd.errors import CandleInputError, UnhealthyError, UsageError
from hotbandd.settings import Settings, instrument

SHOWN = ("p5", "p25", "p50", "p75", "p95")


def calibrate(
    names: list[str], candles: Path | None, days: int | None, *, as_json: bool, env_file: Path | None
) -> None:
    """Describe feeds: files, or the stored candles of some days."""
    if (candles is None) == (days is None):
        raise UsageError("Say what to look at: --candles FILE or FOLDER, or --days N for the stored candles.")
    settings = common.settings(env_file, level="warning")
    pairs = tuple(instrument(name) for name in names)
    feeds = _of_files(candles, pairs) if candles is not None else _stored(settings, pairs or settings.pairs, days or 0)
    found = [_described(settings, pair, feed) for pair, feed in feeds]
    if as_json:
        common.print_json(found)
        return
    for one in found:
        _show(one)


def bounds(settings: Settings) -> list[Bound]:
    """Return the bounds of the settings."""
    return [
        Bound("coherence", "least", settings.auto_min_coherence),
        Bound("stability", "least", settings.guard_min_stability),
        Bound("entropy", "most", settings.auto_max_entropy),
        Bound("rupture", "most", settings.auto_max_rupture),
        Bound("hazard", "most", settings.auto_max_hazard),
    ]


def _described(settings: Settings, pair: str, candles: Candles) -> Calibration:
    series = Series()
    series.add(candles)
    manifold.measure_series(series, settings.kernel)
    found = calibration.calibrate(pair, series, settings.kernel, bounds(settings))
    if found is None:
        raise UnhealthyError(
            f"{pair} has {candles.size} candles; a window needs {manifold.WINDOW + 1}. Give more, or back-fill."
        )
    return found


def _of_files(path: Path, pairs: tuple[str, ...]) -> Iterator[tuple[str, Candles]]:
    """Read a file, or those of a folder that are asked for."""
    if path.is_dir():
        yield from common.run(lambda: _of_folder(ReplaySource(path), pairs, path))
        return
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CandleInputError(f"{path} cannot be read ({error.strerror}).") from error
    if len(pairs) > 1:
        raise UsageError("A file holds one instrument; name a folder for several.")
    pair = pairs[0] if pairs else instrument("_".join(path.name.partition(".")[0].split("_")[:2]))
    yield pair, read_candles(data, str(path)).candles


async def _of_folder(source: ReplaySource, pairs: tuple[str, ...], path: Path) -> list[tuple[str, Candles]]:
    there = await source.instruments()
    missing = sorted(set(pairs) - set(there))
    if missing or not there:
        raise UsageError(f"There are no candles of {', '.join(missing) or 'any instrument'} in {path}.")
    return [(pair, await source.whole(pair)) for pair in pairs or there]


def _stored(settings: Settings, pairs: tuple[str, ...], days: int) -> list[tuple[str, Candles]]:
    async def read() -> list[tuple[str, Candles]]:
        now = common.wall_ms()
        async with common.store(settings) as store:
            return [
                (pair, (await store.candles(pair, settings.candle_gran, now - days * DAY_MS, now)).candles)
                for pair in pairs
            ]

    return common.run(read)


def _show(one: Calibration) -> None:
    console = common.console()
    console.print(
        f"{one.instrument}  {one.kernel}  {one.windows:,} windows; all bounds met by {one.all_pass:.1%}", style="bold"
    )
    table = Table("bound", "stands at percentile", "met by", "which means")
    for bound in one.bounds:
        sign = "≥" if bound.side == "least" else "≤"
        at = "" if bound.percentile is None else f"{bound.percentile:.1f}"
        value = "?" if bound.value is None else f"{bound.value:g}"
        spec = f" ({bound.spec})" if isinstance(bound.spec, str) else ""
        table.add_row(f"{bound.metric} {sign} {value}{spec}", at, f"{bound.passes:.1%}", bound.words)
    quantiles = Table("metric", *SHOWN)
    for name, values in one.quantiles.items():
        quantiles.add_row(name, *(f"{values[percent]:.4g}" for percent in SHOWN))
    console.print(table, quantiles)
