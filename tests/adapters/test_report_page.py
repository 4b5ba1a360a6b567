"""The page of a report: nothing from elsewhere, the winners' equity, the grid as means over it, text as text."""

from __future__ import annotations

import dataclasses
import html
import math
import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.adapters import plots
from hotbandd.core import findings
from hotbandd.core.candles import DAY_MS
from hotbandd.core.documents import Params
from hotbandd.core.findings import Finding
from hotbandd.core.trial_documents import FoldResult, Luck, TrialRun
from tests.core.test_winners import AUD, EUR, JPY, params_of, run_of

NOW = 1_718_800_200_000
DAILY = [0.25, -0.125, 0.5]


def fold(back: int, test_pnl: float) -> FoldResult:
    end = NOW - back * DAY_MS
    return FoldResult(
        fit_start=end - 30 * DAY_MS,
        fit_end=end - 10 * DAY_MS,
        test_end=end,
        param_key="k",
        fit_pnl=0.5,
        test_pnl=test_pnl,
    )


def luck(*folds: FoldResult) -> Luck:
    return Luck(trials=2, deflated_sharpe=0.5, pbo=0.5, walk_forward=list(folds), words="so it is.")


def trial(params: Params, calmar: float = 1.0, instrument: str = EUR) -> TrialRun:
    run = run_of(instrument=instrument, params=params, calmar=calmar)
    return msgspec.structs.replace(run, daily=DAILY, ts=NOW + 60_000, end_ms=NOW)


def won(instrument: str = EUR, *folds: FoldResult) -> Finding:
    runs = [trial(params_of(3), instrument=instrument), trial(params_of(6), 0.5, instrument)]
    return dataclasses.replace(findings.of(runs, 5), luck=luck(*folds))


def of(*runs: TrialRun) -> Finding:
    """Return the finding of runs of which none qualifies."""
    return findings.of(runs, 1_000_000)


def page(*found: Finding, text: str | None = None) -> str:
    told = findings.markdown(found, None, 14, 5, NOW) if text is None else text
    return plots.report_page(told, found).decode()


def bare(shown: str) -> str:
    """Return a page without its scripts."""
    return re.sub(r"<script.*?</script>", "", shown, flags=re.S)


def millis(x: Any) -> list[int]:
    times = np.array(x).astype("datetime64[ms]").astype(np.int64).tolist()
    return list(times)


# ---- the whole page -------------------------------------------------------------------------------------------------


def grid() -> Finding:
    return dataclasses.replace(findings.of(of_grid(EUR), 5), luck=luck(fold(10, 0.5), fold(0, -0.25)))


def of_grid(instrument: str) -> list[TrialRun]:
    return [
        trial(params_of(lookback, tp_bps=tp), lookback * tp, instrument) for lookback in (3, 6) for tp in (1.0, 2.0)
    ]


def test_the_page_holds_all_that_it_needs() -> None:
    shown = page(grid(), won(JPY))
    assert shown.startswith("<!DOCTYPE html>")
    assert "<title>Trials of the last 14 days</title>" in shown
    assert not re.search(r"<[a-z]+[^<>]*\s(?:src|href)\s*=", bare(shown))
    assert not re.search(r"<script[^>]*\ssrc\s*=", shown)
    assert "@import" not in bare(shown)
    assert "url(" not in bare(shown)
    assert shown.count("Plotly.newPlot(") == 3  # equity, one grid, the walk-forward
    assert len(re.findall(r"<script[^>]*>/\*\*\n\* plotly\.js v", shown)) == 1


def test_the_library_comes_once_and_before_it_is_used() -> None:
    shown = page(grid())
    assert shown.index("plotly.js v") < shown.index("Plotly.newPlot(")
    assert len(shown) < 8_000_000


def test_of_many_instruments_the_foremost_are_drawn_and_the_table_lists_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "MOST_DRAWN", 2)
    names = [f"A{i}A_USD" for i in range(5)]
    found = [of(*of_grid(names[0])), won(names[1]), of(*of_grid(names[2])), won(names[3]), won(names[4])]
    likely = msgspec.structs.replace(luck(fold(0, 0.25)), deflated_sharpe=0.9)
    found[3:] = [dataclasses.replace(one, luck=likely) for one in found[3:]]
    shown = page(*found)
    sentence = "Drawn are 2 of 5 instruments: the winners with the highest deflated Sharpe, then the highest calmar."
    assert f"<p>{sentence}</p>" in shown
    drawn = "".join(re.findall(r"<script.*?</script>", shown, re.S)[-2:])
    assert [name for name in names if name in drawn] == names[3:]
    assert "mean calmar over the grid" not in shown
    assert re.findall(r"<tr>\s*<td>(\w+)</td>", shown) == names
    assert re.findall(r"<li><strong>(\w+)</strong>", bare(shown).replace("<li>\n<p>", "<li>")) == names
    monkeypatch.setattr(plots, "MOST_DRAWN", 5)
    shown = page(*found)
    assert "Drawn are" not in shown
    assert shown.count("mean calmar over the grid") == 2


def test_where_nothing_can_be_drawn_the_text_stands_alone() -> None:
    shown = page(of(trial(params_of(3))))
    assert "<script" not in shown
    assert "no set qualifies" in shown
    assert len(shown) < 10_000


def test_the_markdown_becomes_headings_a_table_and_lists() -> None:
    shown = page(grid(), won(JPY), of(trial(params_of(3))))
    assert "<h1>Trials of the last 14 days</h1>" in shown
    assert re.findall(r"<h2>(.+?)</h2>", shown) == ["Winners", "Or luck?", "One set for all"]
    (table,) = re.findall(r"<table>.*?</table>", shown, re.S)
    assert re.findall(r"<th>(.*?)</th>", table)[:3] == ["instrument", "parameters", "trades"]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>.*?</tr>", table, re.S)][1:]
    assert [len(row) for row in rows] == [10, 10, 10]
    assert rows[0][:2] == [EUR, f"<code>{of_grid(EUR)[-1].param_key}</code>"]
    assert rows[2][1] == "no winner"
    assert "<em>Deflated Sharpe</em>" in shown
    assert f"<li><strong>{JPY}</strong>: so it is.</li>" in shown
    assert shown.count("<li>20 ") + shown.count("<li>10 ") == 2  # the folds, below their instrument
    assert "|" not in bare(shown)


TAGS = "<script>alert(1)</script> <b>bold</b> <img src=x onerror=alert(1)> & <!-- hidden -->"


@pytest.mark.parametrize("before", ["", "- ", "| a | b |\n| --- | --- |\n| c | ", "some words "])
def test_tags_in_the_text_are_shown_as_text(before: str) -> None:
    shown = page(text=f"# A report\n\n{before}{TAGS}\n")
    assert html.escape(TAGS, quote=False) in shown
    for tag in ("<script", "<b>", "<img", "<!--"):
        assert tag not in shown


def test_tags_in_the_title_and_in_code_are_shown_as_text() -> None:
    shown = page(text="# A <b> & `<c>`\n\n`<script>`\n")
    assert "<title>A &lt;b&gt; &amp; `&lt;c&gt;`</title>" in shown
    assert "<p><code>&lt;script&gt;</code></p>" in shown


def test_a_name_cannot_leave_the_script_that_it_is_drawn_by() -> None:
    name = "</script><script>alert(1)</script>"
    shown = page(won(name), text="# A report\n")
    assert name not in shown
    assert "<script>alert(1)" not in shown


# ---- equity ---------------------------------------------------------------------------------------------------------


def test_the_equity_of_each_winner_adds_its_days_up_to_the_end_of_its_run() -> None:
    figure = plots._equity_figure([won(EUR), of(trial(params_of(3))), won(JPY)])
    assert [trace.name for trace in figure.data] == [EUR, JPY]
    for trace in figure.data:
        assert list(trace.y) == [0.25, 0.125, 0.625]
        assert millis(trace.x) == [NOW - 2 * DAY_MS, NOW - DAY_MS, NOW]


def test_without_a_winner_there_is_no_equity() -> None:
    assert not plots._equity_figure([of(trial(params_of(3)), trial(params_of(6)))]).data


# ---- the grid -------------------------------------------------------------------------------------------------------


def cells(found: Finding) -> tuple[str, str, dict[tuple[str, str], float]]:
    """Return the names of both axes, and the cells by their values."""
    figure = plots._grid_figure(found)
    assert figure is not None
    (shown,) = figure.data
    at = {(x, y): shown.z[j][i] for j, y in enumerate(shown.y) for i, x in enumerate(shown.x)}
    return figure.layout.xaxis.title.text, figure.layout.yaxis.title.text, at


def test_a_cell_is_the_mean_calmar_over_the_other_parameters() -> None:
    runs = [
        trial(params_of(lookback, tp_bps=tp, sl_bps=sl), calmar)
        for (lookback, tp, sl), calmar in {
            (3, 1.0, 5.0): 1.0,
            (3, 1.0, 7.0): 2.0,
            (3, 2.0, 5.0): -4.0,
            (3, 2.0, 7.0): -1.0,
            (6, 1.0, 5.0): 0.5,
            (6, 1.0, 7.0): 0.0,
            (6, 2.0, 5.0): 8.0,
            (6, 2.0, 7.0): 8.5,
            (12, 1.0, 5.0): 3.0,
            (12, 1.0, 7.0): 3.5,
            (12, 2.0, 5.0): 0.0,
            (12, 2.0, 7.0): 0.25,
        }.items()
    ]
    # direction_lookback takes the most values; of sl_bps and tp_bps, which take two each, the first by name is shown
    assert cells(of(*runs)) == (
        "direction_lookback",
        "sl_bps",
        {
            ("3", "5.0"): -1.5,
            ("3", "7.0"): 0.5,
            ("6", "5.0"): 4.25,
            ("6", "7.0"): 4.25,
            ("12", "5.0"): 1.5,
            ("12", "7.0"): 1.875,
        },
    )


RUNS = st.lists(
    st.tuples(
        st.sampled_from([3, 6, 12]),
        st.sampled_from([0.5, "p80", "p9"]),
        st.sampled_from([1.0, 2.5, None]),
        st.sampled_from([-1.0, 0.0, 0.5, 2.0]),
    ),
    min_size=1,
    max_size=14,
)


@given(RUNS)
def test_cells_are_those_of_a_plain_loop(drawn: list[tuple[int, Any, float | None, float]]) -> None:
    runs = [
        trial(Params(c_min=c, direction_lookback=n, dir_threshold_bps=2.0, tp_bps=tp), calmar)
        for n, c, tp, calmar in drawn
    ]
    taken = {
        name: {str(getattr(run.params, name)) for run in runs} for name in ("c_min", "direction_lookback", "tp_bps")
    }
    varied = [name for name in sorted(taken, key=lambda name: -len(taken[name])) if len(taken[name]) > 1]
    if len(varied) < 2:
        assert plots._grid_figure(of(*runs)) is None
        return
    x, y, found = cells(of(*runs))
    assert [x, y] == varied[:2]
    assert len(found) == len(taken[x]) * len(taken[y])
    for (a, b), value in found.items():
        here = [r.summary.calmar for r in runs if (str(getattr(r.params, x)), str(getattr(r.params, y))) == (a, b)]
        assert value == pytest.approx(sum(here) / len(here)) if here else math.isnan(value)


def test_numbers_ascend_along_an_axis_and_words_follow_them() -> None:
    runs = [
        trial(Params(c_min=c, direction_lookback=n, dir_threshold_bps=2.0))
        for c in ("p80", 0.6, "p9", 0.45)
        for n in (100, 12, 24)
    ]
    figure = plots._grid_figure(of(*runs))
    assert figure is not None
    assert list(figure.data[0].x) == ["0.45", "0.6", "p80", "p9"]
    assert list(figure.data[0].y) == ["12", "24", "100"]
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("category", "category")
    assert figure.layout.title.text.startswith(EUR)


@pytest.mark.parametrize(
    "params",
    [
        [params_of(3)],
        [params_of(3), params_of(6), params_of(12)],
        [params_of(6, tp_bps=1.0), params_of(6, tp_bps=2.0), params_of(6)],
    ],
)
def test_where_fewer_than_two_parameters_vary_there_is_no_grid(params: list[Params]) -> None:
    assert plots._grid_figure(of(*map(trial, params))) is None
    (drawn,) = plots._grid_figures([of(*map(trial, params)), of(*of_grid(JPY))])
    assert drawn.layout.title.text.startswith(JPY)


def test_a_grid_is_drawn_where_none_qualifies_too() -> None:
    shown = page(of(*of_grid(AUD)))
    assert shown.count("Plotly.newPlot(") == 1
    assert f'"text":"{AUD}: mean calmar over the grid"' in shown


def test_a_cell_that_no_run_fell_into_is_empty() -> None:
    runs = [trial(params_of(3, tp_bps=1.0), 2.0), trial(params_of(6, tp_bps=2.0), 3.0)]
    _, _, found = cells(of(*runs))
    assert (found["3", "1.0"], found["6", "2.0"]) == (2.0, 3.0)
    assert math.isnan(found["3", "2.0"])
    assert math.isnan(found["6", "1.0"])
    assert '"z":[[2.0,null],[null,3.0]]' in page(of(*runs))


# ---- the walk-forward -----------------------------------------------------------------------------------------------


def test_each_test_of_the_walk_forward_is_a_bar_at_its_end() -> None:
    figure = plots._forward_figure([won(EUR, fold(10, 0.5), fold(0, -0.25)), won(JPY), won(AUD, fold(0, 0.125))])
    assert [(bar.name, list(bar.y)) for bar in figure.data] == [(EUR, [0.5, -0.25]), (AUD, [0.125])]
    assert millis(figure.data[0].x) == [NOW - 10 * DAY_MS, NOW]


def test_without_folds_there_are_no_bars() -> None:
    assert not plots._forward_figure([won(EUR), of(trial(params_of(3)))]).data
