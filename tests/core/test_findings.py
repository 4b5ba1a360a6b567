"""What trials found: the newest runs of each instrument, and the report that a person reads."""

from __future__ import annotations

import itertools
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import findings, winners
from hotbandd.core.candles import DAY_MS
from hotbandd.core.findings import Finding, newest_runs
from hotbandd.core.trial_documents import FoldResult, Luck, TrialRun
from tests.core.test_winners import AUD, EUR, JPY, PAIRS, everywhere, run_of

NOW = 1_718_800_200_000  # 2024-06-19 12:30
OLD, NEW = "ba9876543210", "0123456789ab"
FOLD = FoldResult(
    fit_start=NOW - 30 * DAY_MS,
    fit_end=NOW - 10 * DAY_MS,
    test_end=NOW,
    param_key="c0.5:l3",
    fit_pnl=0.0625,
    test_pnl=-0.0123,
)
LUCK = Luck(trials=3, deflated_sharpe=0.874, pbo=0.25, walk_forward=[FOLD], words="Indistinguishable from luck: so.")
UNKNOWN = Luck(trials=1, deflated_sharpe=None, pbo=None, walk_forward=[], words="Indistinguishable from luck: few.")


def run_with(spec: str, **given: Any) -> TrialRun:
    return msgspec.structs.replace(run_of(**given), spec=spec)


# ---- the newest runs ------------------------------------------------------------------------------------------------


def test_each_instrument_has_the_runs_of_the_spec_that_ran_last_on_it() -> None:
    old = [run_with(OLD, lookback=n, instrument=EUR, ts=1, run_id=f"o{n}") for n in (3, 6)]
    new = [run_with(NEW, lookback=n, instrument=EUR, ts=2, run_id=f"n{n}") for n in (3, 12)]
    only = [run_with(OLD, lookback=3, instrument=AUD, ts=1, run_id="a")]
    for order in itertools.permutations(old + new + only):
        found = newest_runs(iter(order))
        assert list(found) == [AUD, EUR]
        assert {run.run_id for run in found[EUR]} == {"n3", "n12"}
        assert found[AUD] == only


def test_runs_of_earlier_trials_do_not_count_beside_those_of_the_last_ones() -> None:
    twice = [run_of(3, ts=1, run_id="r1", calmar=9.0), run_of(3, ts=2, run_id="r2"), run_of(6, ts=1, run_id="r3")]
    for order in itertools.permutations(twice):
        assert [run.run_id for run in newest_runs(order)[EUR]] == ["r2"]


def test_no_runs_are_runs_of_no_instrument() -> None:
    assert newest_runs([]) == {}


@st.composite
def any_runs(draw: st.DrawFn) -> list[TrialRun]:
    def one(i: int) -> TrialRun:
        return run_with(
            draw(st.sampled_from([OLD, NEW])),
            lookback=draw(st.sampled_from([3, 6, 12])),
            instrument=draw(st.sampled_from(PAIRS)),
            run_id=f"r{i}",
            ts=ts[i],
        )

    size = draw(st.integers(0, 12))
    ts = draw(st.permutations(range(size)))
    return [one(i) for i in range(size)]


@given(any_runs())
def test_the_newest_runs_are_those_of_a_plain_search(runs: list[TrialRun]) -> None:
    expected = {}
    for name in sorted({run.instrument for run in runs}):
        mine = sorted((run for run in runs if run.instrument == name), key=lambda run: -run.ts)
        kept = [run for run in mine if (run.spec, run.ts) == (mine[0].spec, mine[0].ts)]
        expected[name] = sorted(kept, key=lambda run: run.param_key)
    found = newest_runs(runs)
    assert found == expected
    assert list(found) == list(expected)


# ---- the report -----------------------------------------------------------------------------------------------------


def won(instrument: str, luck: Luck | None = LUCK, **figures: Any) -> Finding:
    runs = [run_of(3, instrument, calmar=2.5, pnl=0.0345, trades=17, **figures), run_of(6, instrument, calmar=0.5)]
    return Finding(instrument, runs, runs[0], luck)


def lost(instrument: str) -> Finding:
    runs = [run_of(n, instrument, calmar=-n / 10, pnl=-0.0123, trades=40 + n) for n in (12, 6, 3)]
    return Finding(instrument, runs, None)


def report(*found: Finding, best: winners.GlobalWinner | None = None, **changed: int) -> str:
    numbers = {"days": 14, "min_trades": 5, "now": NOW, **changed}
    return findings.markdown(found, best, **numbers)


def table(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.removeprefix("|").removesuffix("|").split("|")] for row in rows]


def section(text: str, name: str) -> str:
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_the_best_is_shown_where_none_qualifies_and_by_the_order_of_merit() -> None:
    assert lost(EUR).best.params.direction_lookback == 3


def test_the_report_says_what_it_is_about() -> None:
    text = report(won(EUR), lost(AUD), days=9, min_trades=7)
    lines = text.splitlines()
    assert lines[0] == "# Trials of the last 9 days"
    assert lines[2] == (
        "Made 2024-06-19 12:30 UTC. 5 parameter sets were back-tested on 2 instruments; 1 of them have a winner."
    )
    assert "at least 7 trades" in lines[4]
    assert [line for line in lines if line.startswith("#")] == [
        "# Trials of the last 9 days",
        "## Winners",
        "## Or luck?",
        "## One set for all",
    ]
    assert text.endswith(".\n")


def test_the_table_has_one_row_for_each_instrument_with_as_many_cells_as_the_heading() -> None:
    rows = table(report(won(EUR), lost(AUD), won(JPY, None)))
    assert [len(row) for row in rows] == [10] * 5
    assert rows[0] == [
        "instrument",
        "parameters",
        "trades",
        "pnl",
        "calmar",
        "profit factor",
        "win rate",
        "max drawdown",
        "deflated Sharpe",
        "overfitting",
    ]
    assert set(rows[1]) == {"---"}
    assert [row[0] for row in rows[2:]] == [EUR, AUD, JPY]
    assert rows[3][1:] == ["no winner", *[""] * 8]


def test_a_winner_is_told_with_its_set_and_figures_shares_as_percentages() -> None:
    row = table(report(won(EUR)))[2]
    assert row == [EUR, "`c0.5:l3:t2:ec60:xc60`", "17", "+3.45%", "2.50", "2.00", "50%", "10.00%", "87.4%", "25%"]


def test_a_loss_has_its_sign() -> None:
    assert findings.figures(run_of(calmar=-1.0, pnl=-0.0123))[1:3] == ("-1.23%", "-1.00")
    assert len(findings.figures(run_of())) == len(findings.FIGURES)


@pytest.mark.parametrize("luck", [UNKNOWN, None])
def test_what_is_not_known_of_the_luck_is_told_so(luck: Luck | None) -> None:
    text = report(won(EUR, luck))
    assert table(text)[2][-2:] == ["not known", "not known"]
    words = UNKNOWN.words if luck else "How much of it is luck is not known."
    assert f"- **EUR_USD**: {words}\n" in section(text, "Or luck?")


def test_where_none_qualifies_the_best_is_told_and_that_an_earlier_configuration_stays() -> None:
    assert (
        "- **AUD_USD**: no set qualifies; the best of 3 made -1.23% in 43 trades. "
        "An earlier best configuration is left to expire.\n"
    ) in section(report(lost(AUD)), "Or luck?")


def test_the_walk_forward_names_days_sets_and_returns_below_its_instrument() -> None:
    lines = section(report(won(EUR), won(JPY, UNKNOWN)), "Or luck?").splitlines()
    at = lines.index("- **EUR_USD**: Indistinguishable from luck: so.")
    assert lines[at + 1 : at + 3] == [
        "  - 20 May to 09 Jun chose `c0.5:l3` (+6.25%); to 19 Jun it made -1.23%.",
        "- **USD_JPY**: Indistinguishable from luck: few.",
    ]


def test_the_one_set_for_all_is_told_with_its_means_and_instruments() -> None:
    best = winners.global_winner(everywhere(12, (0.5, 1.0, 1.75), pnl=0.0312))
    assert section(report(*map(won, PAIRS), best=best), "One set for all").strip() == (
        "`c0.5:l12:t2:ec60:xc60` has the highest mean calmar, 1.08, over AUD_USD, EUR_USD, USD_JPY, "
        "at a mean return of +3.12%."
    )


def test_that_there_is_no_set_for_all_is_told() -> None:
    assert section(report(won(EUR)), "One set for all").strip() == (
        "No set that ran on every instrument earned on average; there is no global configuration."
    )


@given(st.lists(st.tuples(st.sampled_from([won, lost]), st.sampled_from([LUCK, UNKNOWN])), min_size=1, max_size=6))
def test_whatever_was_found_every_instrument_has_its_row_and_its_words(kinds: list[tuple[Any, Luck]]) -> None:
    names = [f"{chr(65 + i)}AA_USD" for i in range(len(kinds))]
    found = [make(name, luck) if make is won else make(name) for name, (make, luck) in zip(names, kinds, strict=True)]
    text = report(*found)
    rows = table(text)
    assert [row[0] for row in rows[2:]] == names
    assert {len(row) for row in rows} == {10}
    assert re.findall(r"^- \*\*(.+)\*\*: ", section(text, "Or luck?"), re.M) == names
    without = sum(make is lost for make, _ in kinds)
    assert (text.count("| no winner |"), text.count("no set qualifies")) == (without, without)
    assert f" {len(kinds) - without} of them have a winner." in text
    assert "None" not in text
    assert "nan" not in text
