"""Plots as pages: one self-contained HTML file each, by plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, NamedTuple

import numpy as np
import plotly.graph_objects as go
from markdown_it import MarkdownIt
from plotly.subplots import make_subplots

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Floats, Ints
from hotbandd.core.findings import Finding, foremost
from hotbandd.core.series import MetricColumns
from kernels.backtest import REASONS, Trades

MOST_BARS: Final = 4000  # more candles than a screen has columns only make a page slow
MOST_DRAWN: Final = 20  # instruments; a page with the grids of a thousand would be slow, and nobody would find anything
_WIDTHS_MIN: Final = (1, 5, 15, 30, 60, 240, 1440)
_UP, _DOWN, _QUIET, _LINE, _FAINT = "#1a7f5a", "#c0392b", "#8a8f98", "#2c5aa0", "#c3d2ea"
_ROWS: Final = ("price", "equity and drawdown, log return", "coherence", "stability", "entropy", "rupture")
_HEIGHTS: Final = (0.40, 0.20, 0.10, 0.10, 0.10, 0.10)

_PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 1.2rem auto; max-width: 90rem; padding: 0 1rem; color: #1c1f23; background: #fff }}
h1 {{ font-size: 1.3rem; margin: 0 }} p {{ margin: .3rem 0 .8rem; color: #4a4f57 }}
table {{ border-collapse: collapse; margin-bottom: .6rem }} td, th {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #dde }}
</style></head><body><h1>{title}</h1><p>{words}</p>{table}{plot}</body></html>
"""


_REPORT: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 1.2rem auto; max-width: 80rem; padding: 0 1rem; color: #1c1f23; background: #fff }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
td, th {{ padding: .25rem .7rem; border-bottom: 1px solid #dde; text-align: right }}
td:first-child, th:first-child, td:nth-child(2), th:nth-child(2) {{ text-align: left }} code {{ font-size: .9em }}
</style></head><body>{body}{plots}</body></html>
"""


_LEFT_OUT: Final = "<p>Drawn are {drawn} of {all} instruments: the winners with the highest deflated Sharpe, then the highest calmar.</p>"


class Shown(NamedTuple):
    """A back-test to be plotted: its candles and metrics, trades, and the bounds that metrics are drawn against, None for none."""

    candles: Candles
    metrics: MetricColumns
    trades: Trades
    bounds: Mapping[str, float | None]


def backtest_page(title: str, words: str, table: Sequence[Sequence[str]], shown: Shown) -> str:
    """Return a page with a table (its first row heads it) and the plot of a back-test."""
    plot = backtest_figure(shown).to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    return _PAGE.format(title=escape(title), words=escape(words), table=_table(table), plot=plot)


def report_page(text: str, findings: Sequence[Finding]) -> bytes:
    """Return a report in Markdown as a page, with plots: equity of the winners, the grid as heat maps, the walk-forward.

    Of more findings than MOST_DRAWN the foremost are drawn, and a sentence says so.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(text)
    chosen = foremost(findings, MOST_DRAWN)
    drawn = [_equity_figure(chosen), *_grid_figures(chosen), _forward_figure(chosen)]
    shown = [figure for figure in drawn if figure.data]
    plots = "".join(
        figure.to_html(full_html=False, include_plotlyjs=not i, config={"displaylogo": False})
        for i, figure in enumerate(shown)
    )
    title = text.partition("\n")[0].removeprefix("# ")
    left_out = _LEFT_OUT.format(drawn=len(chosen), all=len(findings)) if len(chosen) < len(findings) else ""
    return _REPORT.format(title=escape(title), body=body, plots=left_out + plots).encode()


def _equity_figure(findings: Sequence[Finding]) -> go.Figure:
    figure = go.Figure()
    for found in findings:
        if found.winner is not None:
            daily = np.array(found.winner.daily)
            ends = found.winner.end_ms - DAY_MS * np.arange(len(daily) - 1, -1, -1, dtype=np.int64)
            figure.add_trace(go.Scatter(x=_times(ends), y=np.cumsum(daily), name=found.instrument))
    figure.update_layout(title="Equity of the winners, log return after cost", template="plotly_white", height=420)
    return figure


def _grid_figures(findings: Sequence[Finding]) -> list[go.Figure]:
    return [figure for found in findings if (figure := _grid_figure(found)) is not None]


def _grid_figure(found: Finding) -> go.Figure | None:
    """Draw the surface of a grid; None where there is none."""
    shown = found.surface
    if shown is None:
        return None
    figure = go.Figure(
        go.Heatmap(
            x=shown.xs,
            y=shown.ys,
            z=shown.z,
            colorscale="RdBu",
            zmid=0,
            colorbar_title="calmar",
            texttemplate="%{z:.2f}",
        )
    )
    figure.update_layout(title=f"{found.instrument}: mean calmar over the grid", template="plotly_white", height=360)
    figure.update_xaxes(title=shown.x, type="category")
    figure.update_yaxes(title=shown.y, type="category")
    return figure


def _forward_figure(findings: Sequence[Finding]) -> go.Figure:
    figure = go.Figure()
    for found in findings:
        folds = found.luck.walk_forward if found.luck else []
        if folds:
            ends = _times(np.array([fold.test_end for fold in folds], dtype=np.int64))
            bars = go.Bar(x=ends, y=[fold.test_pnl for fold in folds], name=found.instrument)
            figure.add_trace(bars)
    figure.update_layout(
        title="Walk-forward: what the choice of 20 days made on the 10 days after", template="plotly_white", height=420
    )
    return figure


def backtest_figure(shown: Shown) -> go.Figure:
    """Draw price with entries and exits, equity and drawdown, and the four metrics against their bounds."""
    figure = make_subplots(
        rows=len(_ROWS), shared_xaxes=True, vertical_spacing=0.025, row_heights=_HEIGHTS, subplot_titles=_ROWS
    )
    last = _bars(shown.candles.t)
    _draw_price(figure, shown.candles, last)
    _draw_trades(figure, shown.trades)
    _draw_equity(figure, shown)
    for row, name in enumerate(_ROWS[2:], start=3):
        _draw_metric(figure, row, shown, name, last)
    figure.update_xaxes(rangebreaks=_breaks(shown.candles.t))
    figure.update_layout(
        template="plotly_white", height=1150, hovermode="x", margin={"l": 60, "r": 20, "t": 30, "b": 30}
    )
    figure.update_layout(legend={"orientation": "h", "y": 1.04}, xaxis_rangeslider_visible=False)
    return figure


def _bars(t: Ints) -> Ints:
    """Return the last candle of each bar; bars are as wide as it takes to have at most MOST_BARS of them."""
    for width in _WIDTHS_MIN:
        last = np.flatnonzero(np.append(np.diff(t // (width * MINUTE_MS)) > 0, [True] * bool(len(t))))
        if len(last) <= MOST_BARS:
            break
    return last


def _draw_price(figure: go.Figure, candles: Candles, last: Ints) -> None:
    first = np.append(0, last[:-1] + 1) if len(last) else last
    bars = go.Candlestick(
        x=_times(candles.t[first]),
        open=candles.open[first],
        high=np.maximum.reduceat(candles.high, first) if len(first) else candles.high,
        low=np.minimum.reduceat(candles.low, first) if len(first) else candles.low,
        close=candles.close[last],
        name="price",
        increasing_line_color=_QUIET,
        decreasing_line_color=_QUIET,
        line_width=1,
        showlegend=False,
    )
    figure.add_trace(bars, row=1, col=1)


def _draw_trades(figure: go.Figure, trades: Trades) -> None:
    for side, name, symbol, colour in ((1, "long", "triangle-up", _UP), (-1, "short", "triangle-down", _DOWN)):
        ours = trades.side == side
        entries = go.Scatter(
            x=_times(trades.entry_ms[ours]),
            y=trades.entry[ours],
            mode="markers",
            name=f"{name} entry",
            marker={"symbol": symbol, "size": 9, "color": colour},
        )
        figure.add_trace(entries, row=1, col=1)
    won = trades.ret > 0
    for mask, name, colour in ((won, "exit with a profit", _UP), (~won, "exit with a loss", _DOWN)):
        told = [f"{REASONS[r]}, {x:+.4%}" for r, x in zip(trades.reason[mask], trades.ret[mask], strict=True)]
        exits = go.Scatter(
            x=_times(trades.exit_ms[mask]),
            y=trades.exit[mask],
            mode="markers",
            name=name,
            text=told,
            marker={"symbol": "x-thin", "size": 8, "line": {"width": 2, "color": colour}},
        )
        held = go.Scatter(
            x=_segments(_times(trades.entry_ms[mask]), _times(trades.exit_ms[mask]), np.datetime64("NaT", "ms")),
            y=_segments(trades.entry[mask], trades.exit[mask], np.nan),
            mode="lines",
            line={"color": colour, "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_traces([held, exits], rows=1, cols=1)


def _draw_equity(figure: go.Figure, shown: Shown) -> None:
    trades, t = shown.trades, shown.candles.t
    ends = t[[0, -1]] if len(t) else t
    x = _times(np.concatenate((ends[:1], trades.exit_ms, ends[-1:])))
    equity = np.concatenate(([0.0], np.cumsum(trades.ret)))
    equity = np.append(equity, equity[-1])[: len(x)]
    drawdown = equity - np.maximum.accumulate(np.maximum(equity, 0.0))
    stepped = {"shape": "hv"}
    figure.add_trace(go.Scatter(x=x, y=equity, name="equity", line={"color": _LINE, **stepped}), row=2, col=1)
    fall = go.Scatter(x=x, y=drawdown, name="drawdown", fill="tozeroy", line={"color": _DOWN, "width": 1, **stepped})
    figure.add_trace(fall, row=2, col=1)


def _draw_metric(figure: go.Figure, row: int, shown: Shown, name: str, last: Ints) -> None:
    """Draw a metric faintly at the end of each bar, and its mean over a day's bars on top."""
    t, values = shown.candles.t[last], getattr(shown.metrics, name)[last]
    for y, style in ((values, {"width": 1, "color": _FAINT}), (_daily_mean(t, values), {"width": 2, "color": _LINE})):
        figure.add_trace(go.Scatter(x=_times(t), y=y, name=name, line=style, showlegend=False), row=row, col=1)
    figure.update_yaxes(range=[0, 1], row=row, col=1)
    bound = shown.bounds.get(name)
    if bound is not None:
        figure.add_hline(y=bound, line={"color": _DOWN, "dash": "dash", "width": 1}, layer="above", row=row, col=1)


def _daily_mean(t: Ints, values: Floats) -> Floats:
    """Return the mean of each trailing day, NaN while nothing is known."""
    known = np.isfinite(values)
    sums, counts = (np.append(0.0, np.cumsum(column)) for column in (np.where(known, values, 0.0), known))
    first, stop = np.searchsorted(t, t - DAY_MS, side="right"), np.arange(1, len(t) + 1)
    count = counts[stop] - counts[first]
    mean: Floats = np.where(count > 0, (sums[stop] - sums[first]) / np.maximum(count, 1), np.nan)
    return mean


def _segments(first: Any, second: Any, gap: Any) -> Any:
    """Return pairs with a gap behind each."""
    return np.column_stack((first, second, np.full(len(first), gap))).ravel()


def _times(ms: Ints) -> Any:
    return ms.astype("datetime64[ms]")


def _breaks(t: Ints) -> list[dict[str, list[str]]]:
    """Return what of the time axis to leave out: gaps of more than a day."""
    at = np.flatnonzero(np.diff(t) > DAY_MS)
    edges = zip(_times(t[at] + MINUTE_MS), _times(t[at + 1]), strict=True)
    return [{"bounds": [str(start), str(end)]} for start, end in edges]


def _table(rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + "".join(line(cells, "td" if i else "th") for i, cells in enumerate(rows)) + "</table>"
