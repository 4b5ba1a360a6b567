"""The page of a back-test: every trade is on it, what it shows is what was measured, and it needs nothing from elsewhere."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from hotbandd.adapters import plots
from hotbandd.adapters.plots import MOST_BARS, Shown
from hotbandd.core.backtest import evaluate
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.documents import Params
from hotbandd.core.series import unmeasured
from tests.core.test_backtest import request_on, walk

PARAMS = Params(c_min=0.1, direction_lookback=3, dir_threshold_bps=1.0, tp_bps=4.0, sl_bps=6.0)


def shown(n: int = 8000) -> Shown:
    candles, metrics = walk(n)
    result = evaluate(request_on(candles, metrics, params=PARAMS))
    return Shown(candles, metrics, result.trades, {"coherence": 0.1, "entropy": None})


def traces(drawn: Shown) -> dict[str, Any]:
    return {trace.name: trace for trace in plots.backtest_figure(drawn).data if trace.name}


def test_every_entry_and_exit_is_marked_at_its_price() -> None:
    drawn = shown()
    found, trades = traces(drawn), drawn.trades
    long = trades.side > 0
    assert 0 < long.sum() < trades.size
    for name, mask in (("long entry", long), ("short entry", ~long)):
        assert found[name].x.astype("datetime64[ms]").astype(np.int64).tolist() == trades.entry_ms[mask].tolist()
        assert found[name].y.tolist() == trades.entry[mask].tolist()
    won = trades.ret > 0
    for name, mask in (("exit with a profit", won), ("exit with a loss", ~won)):
        assert found[name].y.tolist() == trades.exit[mask].tolist()
    assert {text.split(",")[0] for text in found["exit with a loss"].text} <= {"sl", "opposite", "max_hold", "end"}


def test_equity_ends_at_the_sum_of_returns_and_drawdown_is_its_fall_from_the_peak() -> None:
    drawn = shown()
    equity, drawdown = traces(drawn)["equity"].y, traces(drawn)["drawdown"].y
    assert equity[0] == 0.0
    assert equity[-1] == pytest.approx(drawn.trades.ret.sum())
    peak = 0.0
    for value, fall in zip(equity.tolist(), drawdown.tolist(), strict=True):
        peak = max(peak, value)
        assert fall == pytest.approx(value - peak)


def test_bars_keep_the_highest_and_lowest_prices_of_their_candles() -> None:
    drawn = shown(MOST_BARS * 2)
    price = traces(drawn)["price"]
    assert len(price.x) <= MOST_BARS
    assert price.high.max() == drawn.candles.high.max()
    assert price.low.min() == drawn.candles.low.min()
    assert (price.open[0], price.close[-1]) == (drawn.candles.open[0], drawn.candles.close[-1])


def test_a_metric_is_drawn_with_its_mean_of_a_day_and_its_bound() -> None:
    drawn = shown()
    figure = plots.backtest_figure(drawn)
    faint, mean = (trace.y for trace in figure.data if trace.name == "coherence")
    at = len(mean) - 1
    t = drawn.candles.t[plots._bars(drawn.candles.t)]
    assert mean[at] == pytest.approx(faint[t > t[at] - DAY_MS].mean())
    assert [shape.y0 for shape in figure.layout.shapes] == [0.1]


def test_weekends_are_left_out_of_the_axis() -> None:
    drawn = shown(500)
    t = drawn.candles.t.copy()
    t[250:] += 2 * DAY_MS
    figure = plots.backtest_figure(drawn._replace(candles=drawn.candles._replace(t=t)))
    (gap,) = figure.layout.xaxis.rangebreaks
    start, end = (np.datetime64(bound).astype("datetime64[ms]").astype(np.int64) for bound in gap.bounds)
    assert (start, end) == (t[249] + MINUTE_MS, t[250])


@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_hardly_any_candles_and_no_trades_are_drawn_as_such(n: int) -> None:
    candles, _ = walk(n)
    metrics = unmeasured(n)
    result = evaluate(request_on(candles, metrics))
    figure = plots.backtest_figure(Shown(candles, metrics, result.trades, {}))
    assert all(len(trace.x) <= n + 2 for trace in figure.data)


def test_the_page_holds_all_that_it_needs_and_names_are_told_as_text() -> None:
    page = plots.backtest_page("EUR_USD <b>", "a & b", [("days",), ("<30>",)], shown(600))
    assert "<title>EUR_USD &lt;b&gt;</title>" in page
    assert "a &amp; b" in page
    assert "<td>&lt;30&gt;</td>" in page
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", page)
    assert "Plotly.newPlot(" in page
