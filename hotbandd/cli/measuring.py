"""``hotbandd manifold`` and ``backtest``: kernels and strategy over a file, without a server."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import numpy as np
import typer
from rich.table import Table

from hotbandd import parts
from hotbandd.adapters import strategies
from hotbandd.adapters.files import write_whole
from hotbandd.cli import common
from hotbandd.core import backtest as backtests
from hotbandd.core import candle_input, live_params, manifold_run, param_key, thresholds
from hotbandd.core import manifold as manifolds
from hotbandd.core import setup as setups
from hotbandd.core.candle_files import read_candles
from hotbandd.core.candles import Candles
from hotbandd.core.documents import Params
from hotbandd.core.series import Series
from hotbandd.errors import CandleInputError, UsageError
from hotbandd.settings import TABLE, Loaded, Settings, instrument

UNKNOWN = "UNKNOWN"  # as the original's generator names input that does not name itself
LONGEST_FILE = 512 * 1024 * 1024
PRECISION = "signature_precision"
NATIVE_PRECISION = 2  # of the profile, where the setting does not say another one


def manifold(
    source: str, output: str, *, name: str | None, profile: str, kernel: str | None, env_file: Path | None
) -> None:
    """Measure a file, and write its manifold document."""
    loaded = common.loaded(env_file, level="warning")
    settings = loaded.settings
    if profile not in {"strict", "native"}:
        raise UsageError(f"--profile must be strict or native, not {profile!r}.")
    native = profile == "native"
    if native and kernel == "calibrated":
        raise UsageError("--profile native measures the native family; leave --kernel out, or choose --profile strict.")
    family = _family("native" if native else kernel, settings)
    data, place = _read(source), "standard input" if source == "-" else source
    listed = data.lstrip()[:1] in (b"[", b"{") and _is_list(data)
    candles = candle_input.parse(data) if listed else _candles(data, place)
    document = manifold_run.run_document(
        candles,
        _named(name, source),
        family=family,
        profile=cast(Literal["strict", "native"], profile),
        precision=NATIVE_PRECISION if native and _is_default(loaded, PRECISION) else settings.signature_precision,
        levels=settings.signature_levels,
        lookback_min=settings.session_pattern_lookback_min,
    )
    encoded = msgspec.json.encode(document, order="sorted") + b"\n"
    if output == "-":
        sys.stdout.buffer.write(encoded)
    else:
        write_whole(Path(output), encoded)


def backtest(
    name: str,
    path: Path | None,
    *,
    days: int,
    param: list[str],
    kernel: str | None,
    plot: Path | None,
    as_json: bool,
    env_file: Path | None,
) -> None:
    """Back-test a file strictly, and print its trades and figures, or plot them as well."""
    settings = common.settings(env_file, level="warning")
    pair = instrument(name)
    family = _family(kernel, settings)
    if family != settings.kernel:
        settings = replace(settings, kernel=family, auto_guard_enforce=setups.ENFORCED[family])
    settings = replace(settings, pairs=(pair,))
    base = live_params.overlay(parts.params(settings), common.live_params(settings).get(pair, {}))
    params = _params(base, param)
    candles = _stored(settings, pair) if path is None else _candles(_read(str(path)), str(path))
    if not candles.size:
        raise CandleInputError(f"{path or 'Valkey'} holds no usable candle of {pair}.")
    request = _request(settings, pair, candles, params, days)
    result = backtests.evaluate(request)
    key = param_key.param_key(params, param_key.extras(pair, parts.setup(settings), parts.default_setup()))
    report = {
        "instrument": pair,
        "kernel": family,
        "params": params,
        "param_key": key,
        "spans": result.figures.spans,
        "trades": backtests.trade_rows(result),
    }
    if plot is not None:
        _plot(plot, pair, key, request, result)
    if as_json:
        common.print_json(report)
    else:
        _show(report, result)
        if plot is not None:
            common.console().print(f"Plotted in {plot}.", highlight=False)


def _stored(settings: Settings, pair: str) -> Candles:
    async def read() -> Candles:
        async with common.store(settings) as store:
            return (await store.candles(pair, settings.candle_gran, 0, common.wall_ms() * 2)).candles

    return common.run(read)


def _plot(plot: Path, pair: str, key: str, request: backtests.Request, result: backtests.Result) -> None:
    from hotbandd.adapters import plots

    if plot.suffix.lower() not in {".html", ".htm"}:
        raise UsageError(f"--plot writes a page: name a file that ends in .html, not {plot}.")
    start = int(np.searchsorted(request.candles.t, result.start_ms))
    guards = request.guards
    specs = {"coherence": request.params.c_min}
    if guards.enforce:
        specs |= {"stability": guards.s_min, "entropy": guards.h_max, "rupture": guards.r_max}
    shown = plots.Shown(
        candles=request.candles.take(slice(start, None)),
        metrics=request.metrics.take(slice(start, None)),
        trades=result.trades,
        bounds={metric: spec if isinstance(spec, float) else None for metric, spec in specs.items()},
    )
    words = (
        f"{len(result.trades.ret)} trades from {common.moment_text(result.start_ms)} to {common.moment_text(result.end_ms)} UTC, "
        f"{request.cost_bps:g} bps a round trip; parameters {key}."
    )
    page = plots.backtest_page(f"{pair}, strict back-test", words, [HEADINGS, *_rows(result)], shown)
    write_whole(plot, page.encode())


def _request(settings: Settings, pair: str, candles: Candles, params: Params, days: int) -> backtests.Request:
    family = _family(None, settings)
    series = Series()
    series.add(candles)
    manifolds.measure_series(series, family)
    calendar, setup = parts.calendar(settings), parts.setup(settings)
    return backtests.request_of(pair, series.candles, series.metrics, calendar, setup, params, days=days)


def _params(base: Params, given: list[str]) -> Params:
    """Overlay ``K=V`` words on parameters; misspelt names and values that do not fit are usage errors."""
    values: dict[str, Any] = msgspec.structs.asdict(base)
    for word in given:
        key, equals, text = word.partition("=")
        if not equals or key not in values:
            raise UsageError(f"--param {word!r}: write K=V with K one of {', '.join(values)}.")
        values[key] = _value(key, text)
    try:
        params = msgspec.convert(values, Params)
    except msgspec.ValidationError as error:
        why, _, place = str(error).partition(" - at `$.")
        raise UsageError(f"--param {place.rstrip('`')}: {why[0].lower()}{why[1:]}.") from error
    if isinstance(params.c_min, str):
        thresholds.parse_threshold(params.c_min)
    if params.strategy not in strategies.rules():
        raise UsageError(f"--param strategy: take one of {', '.join(sorted(strategies.rules()))}.")
    return params


def _value(key: str, text: str) -> Any:
    if key in {"strategy"}:
        return text
    if text in {"off", "none"}:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if isfinite(number) else text


HEADINGS = ("days", "trades", "win rate", "pnl", "max drawdown", "calmar", "profit factor", "coverage")


def _show(report: dict[str, Any], result: backtests.Result) -> None:
    console = common.console()
    console.print(f"{report['instrument']}  {report['param_key']}  {len(report['trades'])} trades")
    table = Table(*HEADINGS)
    for row in _rows(result):
        table.add_row(*row)
    console.print(table)


def _rows(result: backtests.Result) -> list[tuple[str, ...]]:
    """Return the spans' figures, under HEADINGS."""
    rows: list[tuple[str, ...]] = []
    for days, span in result.figures.spans.items():
        enough = "" if result.figures.sufficient[days] else " (too little)"
        rows.append(
            (
                days,
                str(span.trades),
                f"{span.win_rate:.0%}",
                f"{span.pnl_total:+.4%}",
                f"{span.max_drawdown:.4%}",
                f"{span.calmar:.2f}",
                f"{span.profit_factor:.2f}",
                f"{span.coverage:.0%}{enough}",
            )
        )
    return rows


def _is_default(loaded: Loaded, field: str) -> bool:
    return loaded.sources[TABLE[field].name] == "default"


def _family(kernel: str | None, settings: Settings) -> manifolds.Family:
    chosen = kernel or settings.kernel
    if chosen not in {"calibrated", "native"}:
        raise UsageError(f"--kernel must be calibrated or native, not {chosen!r}.")
    return cast(manifolds.Family, chosen)


def _named(given: str | None, source: str) -> str:
    if given is not None:
        return instrument(given)
    words = Path(source).name.partition(".")[0].split("_")
    try:
        return instrument("_".join(words[:2]))
    except UsageError:
        return UNKNOWN


def _is_list(data: bytes) -> bool:
    """Tell the native generator's input from OANDA's and from JSON lines: its candles carry ``t``."""
    return b'"t"' in data[:4096] and b'"complete"' not in data[:4096] and b"}\n{" not in data[:4096]


def _candles(data: bytes, name: str) -> Candles:
    checked = read_candles(data, name)
    if checked.refused:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(checked.refused.items()))
        typer.echo(f"hotbandd: {name}: left out {counts}.", err=True)
    return checked.candles


def _read(source: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read(LONGEST_FILE)
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise CandleInputError(f"{source} cannot be read ({error.strerror}).") from error
