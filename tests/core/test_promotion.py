"""Promotion: who may go in force, what the document says, and what stays of a settings file that is edited."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import live_params, promotion
from hotbandd.core.documents import Params
from hotbandd.core.param_key import param_key
from hotbandd.core.trial_documents import GLOBAL, BestConfig, Luck
from hotbandd.errors import ParamsError, UsageError
from hotbandd.settings import env_file, load
from tests.adapters.store_samples import SPAN

STRATEGIES = ("combined", "fade")
PARAMS = Params(c_min=0.6, direction_lookback=24, dir_threshold_bps=2.5)
NAMES = ("GUARD_MIN_COHERENCE", "AUTO_MIN_COHERENCE", "AUTO_DIRECTION_LOOKBACK", "AUTO_DIR_THRESHOLD_BPS")


def luck(dsr: float | None = 0.9, pbo: float | None = 0.2) -> Luck:
    return Luck(trials=10, deflated_sharpe=dsr, pbo=pbo, walk_forward=[], words="")


def winner(instrument: str = "EUR_USD", luck: Luck | None = None, **changed: Any) -> BestConfig:
    params = msgspec.structs.replace(PARAMS, **changed)
    return BestConfig(
        instrument=instrument, param_key=param_key(params), params=params, env={}, summary=SPAN, ts=1, luck=luck
    )


# ---- who may go in force --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [None, luck(None, None), luck(0.0, 1.0)])
def test_without_bounds_every_winner_may_be_promoted(known: Luck | None) -> None:
    assert promotion.judged(winner(luck=known), 0.0, 1.0) is None


@pytest.mark.parametrize(
    ("known", "min_dsr", "max_pbo", "reason"),
    [
        (luck(0.89), 0.9, 1.0, "its deflated Sharpe ratio of 0.89 is below PROMOTE_MIN_DSR (0.9)"),
        (luck(pbo=0.21), 0.0, 0.2, "its probability of over-fitting of 0.21 is above PROMOTE_MAX_PBO (0.2)"),
        (luck(None), 0.9, 1.0, "its deflated Sharpe ratio is not known, and may be below PROMOTE_MIN_DSR (0.9)"),
        (None, 0.0, 0.2, "its probability of over-fitting is not known, and may be above PROMOTE_MAX_PBO (0.2)"),
    ],
)
def test_a_bound_stops_what_breaks_it_and_what_is_not_known(
    known: Luck | None, min_dsr: float, max_pbo: float, reason: str
) -> None:
    assert promotion.judged(winner(luck=known), min_dsr, max_pbo) == f"EUR_USD is not promoted: {reason}."


def test_both_bounds_are_named_where_both_are_broken() -> None:
    told = promotion.judged(winner(luck=None), 0.5, 0.5)
    assert told is not None
    assert "PROMOTE_MIN_DSR" in told
    assert "PROMOTE_MAX_PBO" in told


def test_a_winner_on_the_bounds_may_be_promoted() -> None:
    assert promotion.judged(winner(luck=luck(0.9, 0.2)), 0.9, 0.2) is None


def test_parameters_that_the_daemon_would_refuse_are_told() -> None:
    assert promotion.unusable(winner(), STRATEGIES) is None
    assert promotion.unusable(winner(strategy="lost"), STRATEGIES) == (
        "EUR_USD is not promoted: its strategy cannot be 'lost'; take one of combined, fade."
    )
    told = promotion.unusable(winner(GLOBAL, c_min="high"), STRATEGIES)
    assert told is not None
    assert told.startswith("GLOBAL is not promoted: its c_min cannot be 'high'")


# ---- the document ---------------------------------------------------------------------------------------------------


def test_the_document_holds_instruments_in_order_with_what_differs_from_the_defaults() -> None:
    given = {"USD_JPY": winner("USD_JPY", c_min="p80", tp_bps=12.5, strategy="fade"), "EUR_USD": winner()}
    made = promotion.document(given, winner(GLOBAL), 7)
    assert list(made) == ["instruments", "global"]
    assert list(made["instruments"]) == ["EUR_USD", "USD_JPY"]
    common = {"direction_lookback": 24, "dir_threshold_bps": 2.5}
    assert made["instruments"]["USD_JPY"]["params"] == {"c_min": "p80", **common, "strategy": "fade", "tp_bps": 12.5}
    assert made["instruments"]["EUR_USD"] == made["global"]
    assert made["global"] == {
        "params": {"c_min": 0.6, **common, "strategy": "combined"},
        "param_key": "c0.6:l24:t2.5:ec60:xc60",
        "summary": {
            "trades": 12,
            "calmar": 2.0,
            "pnl_total": 0.02,
            "profit_factor": 1.5,
            "win_rate": 0.5,
            "max_drawdown": 0.01,
        },
        "promoted_ts": 7,
    }


def test_no_winner_at_all_gives_a_valid_empty_document() -> None:
    made = promotion.document({}, None, 7)
    assert made == {"instruments": {}}
    assert live_params.parse(made, STRATEGIES) == {}


@pytest.mark.parametrize("strategy", ["combined", "fade"])
def test_an_entry_over_any_settings_gives_the_parameters_that_won(strategy: str) -> None:
    won = winner(strategy=strategy, max_hold_min=60, cost_bps=0.0, entry_cooldown_sec=0)
    entries = live_params.parse(promotion.document({"EUR_USD": won}, None, 7), STRATEGIES)
    for settings in ({}, {"HOTBAND_STRATEGY": "fade", "AUTO_DIRECTION_LOOKBACK": "3", "AUTO_MIN_COHERENCE": "p10"}):
        chosen = load(settings, None).settings
        base = Params(
            c_min=chosen.auto_min_coherence,
            direction_lookback=chosen.auto_direction_lookback,
            dir_threshold_bps=chosen.auto_dir_threshold_bps,
            strategy=chosen.strategy,
        )
        assert live_params.overlay(base, entries["EUR_USD"]) == won.params


def test_an_entry_that_is_alike_keeps_when_it_was_promoted() -> None:
    earlier = promotion.document({"EUR_USD": winner(), "USD_JPY": winner("USD_JPY")}, winner(GLOBAL), 7)
    later = {"EUR_USD": winner(), "USD_JPY": winner("USD_JPY", c_min=0.7)}
    made = promotion.keeping(promotion.document(later, winner(GLOBAL), 9), earlier)
    assert made["instruments"]["EUR_USD"]["promoted_ts"] == 7
    assert made["instruments"]["USD_JPY"] == promotion.document(later, None, 9)["instruments"]["USD_JPY"]
    assert made["global"] == earlier["global"]


@pytest.mark.parametrize(
    "earlier", [None, [], "x", {}, {"instruments": []}, {"instruments": {"EUR_USD": 1, 5: None}, "global": []}]
)
def test_an_earlier_document_of_another_form_keeps_nothing(earlier: Any) -> None:
    made = promotion.document({"EUR_USD": winner()}, winner(GLOBAL), 9)
    assert promotion.keeping(made, earlier) == made
    assert promotion.params_of(earlier) == {}


# ---- settings of the best of all ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "texts"),
    [
        ({}, ("0.6", "0.6", "24", "2.5")),
        ({"c_min": "p80", "dir_threshold_bps": 2.0}, ("p80", "p80", "24", "2")),
        ({"c_min": 1.0, "dir_threshold_bps": 1e-5}, ("1", "1", "24", "0.00001")),
    ],
)
def test_settings_are_written_as_the_shortest_decimals_and_read_back(
    changed: dict[str, Any], texts: tuple[str, ...]
) -> None:
    won = winner(GLOBAL, **changed)
    values = promotion.settings_of(won)
    assert values == dict(zip(NAMES, texts, strict=True))
    assert promotion.global_settings(promotion.document({}, won, 7)) == values
    read = load(values, None).settings
    assert read.guard_min_coherence == read.auto_min_coherence == won.params.c_min
    assert read.auto_direction_lookback == won.params.direction_lookback
    assert read.auto_dir_threshold_bps == won.params.dir_threshold_bps


def test_settings_of_a_winner_are_told_whether_they_could_be_applied_or_not() -> None:
    values = promotion.settings_of(winner(c_min=-0.5, dir_threshold_bps=2000.0))
    assert tuple(values.values()) == ("-0.5", "-0.5", "24", "2000")


@pytest.mark.parametrize("found", [None, {}, {"global": None}, {"global": {}}, {"global": {"params": None}}])
def test_a_document_without_global_parameters_asks_for_no_settings(found: Any) -> None:
    assert promotion.global_settings(found) == {}


def test_of_a_global_made_by_hand_what_it_names_is_set() -> None:
    assert promotion.global_settings({"global": {"params": {"direction_lookback": 6, "tp_bps": 3.0}}}) == {
        "AUTO_DIRECTION_LOOKBACK": "6"
    }


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "The document must hold names with values."),
        ({"global": []}, "global must hold names with values."),
        ({"global": {"params": 0.6}}, "global.params must hold names with values."),
        ({"global": {"params": {"c_min": True}}}, "global.params.c_min cannot be True: Expected"),
        ({"global": {"params": {"c_min": 1.5}}}, "c_min cannot be 1.5: Expected a number from 0 to 1"),
        ({"global": {"params": {"c_min": "x\nY=1"}}}, "global.params.c_min cannot be 'x\\nY=1'"),
        ({"global": {"params": {"direction_lookback": 0}}}, "cannot be 0: Expected `int` >= 1"),
        ({"global": {"params": {"dir_threshold_bps": 2000}}}, "cannot be 2000: AUTO_DIR_THRESHOLD_BPS must be"),
    ],
)
def test_a_global_that_no_setting_takes_is_told_with_its_keys(found: Any, message: str) -> None:
    with pytest.raises(ParamsError) as fault:
        promotion.global_settings(found)
    assert message in str(fault.value)


# ---- editing a settings file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("K=1", "K=0.6"),
        ("K=1\n", "K=0.6\n"),
        ("K=1\r\nL=2\r\n", "K=0.6\r\nL=2\r\n"),
        ("export  K = 1  # why\n", "export  K = 0.6  # why\n"),
        ("\ufeff\tK=1\t# why \n", "\ufeff\tK=0.6\t# why \n"),
        ("K='1 # no comment' # why", "K=0.6 # why"),
        (r'K="a\"b"# why', "K=0.6 # why"),
        ("K=# why\n", "K=0.6 # why\n"),
        ("K= # why\n", "K= 0.6 # why\n"),
        ("K=\r\n", "K=0.6\r\n"),
        ("K=   \n", "K=0.6   \n"),
        ("K=a#b=c # x=y\n", "K=0.6 # x=y\n"),
        ("K=1\nK=2 # this one\n#K=3\n", "K=1\nK=0.6 # this one\n#K=3\n"),
        ("K=2\nK='broken\n", "K=0.6\nK='broken\n"),
        ("K='0.6' # so already\n", "K='0.6' # so already\n"),
        ("", "K=0.6\n"),
        ("#K=1", "#K=1\nK=0.6\n"),
        ("KK=1\r\n", "KK=1\r\nK=0.6\r\n"),
        ("L=1\r\nKK=1", "L=1\r\nKK=1\r\nK=0.6\r\n"),
        ("\n\n", "\n\nK=0.6\n"),
    ],
)
def test_an_assignment_keeps_all_but_its_value_and_a_missing_one_follows_at_the_end(before: str, after: str) -> None:
    assert promotion.edited(before, {"K": "0.6"}) == after


def test_missing_names_follow_in_their_order() -> None:
    assert promotion.edited("L=0\n", {"K": "1", "L": "2", "M": "3"}) == "L=2\nK=1\nM=3\n"


@pytest.mark.parametrize("value", ["a\nb", "a\n", "\0", "'\n\"", "1\nL=2"])
def test_a_value_that_no_line_can_hold_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="K cannot be written to a settings file"):
        promotion.edited("K=1\n", {"K": value})


blanks = st.text(" \t\f\u00a0", max_size=2)
names = st.sampled_from([*NAMES, "OTHER"])
plain = st.text("ab01.#'\"\\ =é", max_size=6)
quoted = st.sampled_from(["'{}'", '"{}"', "{}"])


@st.composite
def assignments(draw: st.DrawFn) -> str:
    """Build lines that mostly assign."""
    export = draw(st.sampled_from(["", "export ", "export\t "]))
    value = draw(quoted).format(draw(plain))
    comment = draw(st.sampled_from(["", "# why", " # why 'so'", "\t#"]))
    return f"{draw(blanks)}{export}{draw(names)}{draw(blanks)}={draw(blanks)}{value}{comment}{draw(blanks)}"


lines = st.one_of(assignments(), st.text(max_size=12), st.sampled_from(["", "# comment", "#AUTO_MIN_COHERENCE=1"]))


@st.composite
def files(draw: st.DrawFn) -> str:
    """Build settings files of any kind."""
    parts = [draw(lines) + draw(st.sampled_from(["\n", "\r\n"])) for _ in range(draw(st.integers(0, 8)))]
    return draw(st.sampled_from(["", "\ufeff"])) + "".join(parts) + draw(st.one_of(st.just(""), lines))


line_texts = st.text(st.characters(blacklist_characters="\n\0"), max_size=12)
values = st.dictionaries(st.sampled_from(NAMES), st.one_of(st.sampled_from(["0.6", "p80", "24"]), plain, line_texts))


@given(files(), values)
def test_what_is_edited_reads_back_and_every_other_line_stays(text: str, wanted: dict[str, str]) -> None:
    done = promotion.edited(text, wanted)
    before, after = env_file.parse(text), env_file.parse(done)
    assert {name: after.entries[name].value for name in wanted} == wanted
    others = [name for name in before.entries if name not in wanted]
    assert {name: after.entries[name] for name in others} == {name: before.entries[name] for name in others}
    assert after.faults == before.faults
    restored, original = done.split("\n"), text.split("\n")
    for name in wanted.keys() & before.entries.keys():
        index = before.entries[name].line - 1
        assert after.entries[name].line == before.entries[name].line
        restored[index] = original[index]
    rest = "\n".join(restored)
    assert rest.startswith(text)
    added = env_file.parse(rest[len(text) :])
    assert list(added.entries) == [name for name in wanted if name not in before.entries]
    assert not added.faults


@given(files(), values)
def test_editing_twice_changes_nothing_more(text: str, wanted: dict[str, str]) -> None:
    done = promotion.edited(text, wanted)
    assert promotion.edited(done, wanted) == done
