"""``hotbandd trials`` and ``hotbandd report``: from a grid to winners, and refusals before anything is run."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import msgspec
import pytest
from redis import Redis

from hotbandd import parts
from hotbandd.adapters import strategies, yaml_text
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.cli import common
from hotbandd.core import trials
from hotbandd.core.candles import DAY_MS
from hotbandd.core.trial_documents import BestConfig, ReportDocument
from hotbandd.settings import load
from tests.cli.candles import MONDAY_MS, simulated
from tests.cli.conftest import sentences
from tests.valkey import ROOT, owner

DAYS = 56
NOW = MONDAY_MS + DAYS * DAY_MS
PAIRS = ("EUR_USD", "USD_JPY")
INLINE = {"HOTBAND_COMPUTE": "inline"}
SPEC = """\
window_days: 21
defaults:
  c_min: [0.1, 0.4]
  direction_lookback: [6, 24, 60]
instruments:
  - instrument: EUR_USD  # every set of it earns
  - instrument: USD_JPY  # no set of it trades
    overrides: {dir_threshold_bps: 100000}
"""
SIZE = "hotbandd: 12 combinations on 2 instruments, 21 days each."
NIGHTLY = ROOT / "config" / "experiments" / "nightly.yaml"
FILES = ("last_14d_report.md", "last_14d_report.html")


@pytest.fixture(scope="module")
def market():
    return {pair: simulated(pair, DAYS) for pair in PAIRS}


@pytest.fixture
def redis(tmp_path, monkeypatch):
    """A server without candles, at the moment that those of the market end."""
    monkeypatch.setattr(common, "wall_ms", lambda: NOW)
    with owner(tmp_path) as server, Redis(unix_socket_path=server.url.removeprefix("unix://"), protocol=2) as client:
        yield client


@pytest.fixture
def stored(redis, market):
    """The server, with the candles of the market."""
    settings = load({"HOTBAND_SOURCE": "simulated"}, None).settings

    async def store(url):
        async with open_valkey(url, parts.ages(settings)) as opened:
            for pair, candles in market.items():
                await opened.put_candles(pair, "M1", candles)

    anyio.run(store, f"unix://{redis.connection_pool.connection_kwargs['path']}")
    return redis


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(SPEC)
    return str(path)


def keys(redis, pattern):
    return {key.decode() for key in redis.keys(pattern)}


# ---- trials and their report ----------------------------------------------------------------------------------------


def test_a_person_tries_a_file_and_reads_what_came_of_it(cli, stored, spec, tmp_path):
    ended = cli("trials", spec, **INLINE)
    assert ended.code == 0, ended.err
    assert ended.out == "Ran 12 of 12 combinations; hotbandd report tells what came of them.\n"
    assert ended.err.splitlines()[0] == SIZE
    assert len(keys(stored, "bt:trial:run:*")) == 12
    assert keys(stored, "bt:trial:lock") == set()

    ended = cli("report", **INLINE)
    assert (ended.code, ended.err) == (0, "")
    files = [tmp_path / "output" / "reports" / "backtests" / name for name in FILES]
    best = msgspec.json.decode(stored.get("opt:best_config:EUR_USD"), type=BestConfig)
    assert ended.out.splitlines() == [f"EUR_USD  {best.param_key}", *(f"Wrote {file}." for file in files)]
    text = files[0].read_text()
    assert f"| EUR_USD | `{best.param_key}` | {best.summary.trades} |" in text
    assert "| USD_JPY | no winner |" in text
    assert "there is no global configuration" in text
    assert best.luck is not None
    assert best.luck.trials == 6
    assert best.luck.words in text
    page = files[1].read_text()
    assert "<title>Trials of the last 14 days</title>" in page
    assert page.count("Plotly.newPlot(") == 3  # equity of the winner, the grids of both
    latest = msgspec.json.decode(stored.get("opt:backtests:report:latest"), type=ReportDocument)
    assert (latest.content, latest.ts) == (text, NOW)
    assert keys(stored, "opt:best_config:*") == {"opt:best_config:EUR_USD"}


def test_a_program_tries_standard_input_and_gets_json(cli, stored, tmp_path):
    ended = cli("trials", "-", "--json", stdin=SPEC.encode(), **INLINE)
    assert ended.code == 0, ended.err
    parsed = trials.parse(yaml_text.load(SPEC.encode()), strategies.rules())
    assert json.loads(ended.out) == {"spec": trials.spec_hash(parsed), "total": 12, "now": 12, "before": 0}
    assert ended.err.splitlines()[0] == SIZE

    ended = cli("report", "--json", "--days", "3", "--out", "mine", **INLINE)
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert found["files"] == [str(tmp_path / "mine" / f"last_3d_report.{kind}") for kind in ("md", "html")]
    assert all(Path(file).is_file() for file in found["files"])
    best = msgspec.json.decode(stored.get("opt:best_config:EUR_USD"), type=BestConfig)
    assert found["winners"] == {"EUR_USD": best.param_key}


def test_a_file_and_standard_input_are_the_same_trials_in_processes_of_their_own_too(cli, stored, spec):
    cli("trials", spec, **INLINE)
    before = {key: stored.get(key) for key in keys(stored, "bt:trial:run:*")}
    stored.delete(*before)
    ended = cli("trials", "-", stdin=SPEC.encode(), HOTBAND_WORKERS="1")
    assert ended.code == 0, ended.err
    assert {key: stored.get(key) for key in keys(stored, "bt:trial:run:*")} == before


def test_an_interrupted_run_is_gone_on_with(cli, stored, spec):
    cli("trials", spec, **INLINE)
    pack_id = min(stored.zrange("bt:trial:packs", 0, -1))  # one of the two instruments'
    stored.sadd(f"bt:trial:progress:{pack_id.partition(b'-')[0].decode()}", f"@{NOW}", pack_id)
    ended = cli("trials", spec, **INLINE)
    assert ended.out == ("Ran 6 of 12 combinations, 6 were finished before; hotbandd report tells what came of them.\n")


def test_where_no_set_qualifies_the_report_is_written_and_says_so(cli, stored, spec, tmp_path):
    cli("trials", spec, **INLINE)
    ended = cli("report", "--min-trades", "100000", **INLINE)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0] == "No parameter set qualifies; the report says how far the best ones are away."
    assert ended.out.count("Wrote ") == 2
    assert (tmp_path / "output" / "reports" / "backtests" / FILES[0]).read_text().count("no set qualifies") == 2
    assert keys(stored, "opt:best_config:*") == set()
    assert json.loads(cli("report", "--min-trades", "100000", "--json", **INLINE).out)["winners"] == {}


def test_parameters_in_force_lie_below_the_grid(cli, stored, spec, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "live_params.yaml").write_text(
        "instruments: {EUR_USD: {params: {c_min: 0.9, max_hold_min: 77}}}\n"
    )
    assert cli("trials", spec, **INLINE).code == 0
    runs = [json.loads(stored.get(key)) for key in keys(stored, "bt:trial:run:*")]
    assert {(run["instrument"], run["params"]["max_hold_min"]) for run in runs} == {("EUR_USD", 77), ("USD_JPY", 240)}
    assert {run["params"]["c_min"] for run in runs} == {0.1, 0.4}


def test_without_trials_the_report_says_what_to_do(cli, redis, tmp_path):
    ended = cli("report", **INLINE)
    assert ended.code == 4
    assert sentences(ended) == "There are no trials of the last 14 days; run hotbandd trials, or raise --days."
    assert not (tmp_path / "output").exists()


def test_a_report_into_a_place_that_a_file_takes_stores_nothing(cli, stored, spec, tmp_path):
    cli("trials", spec, **INLINE)
    ended = cli("report", "--out", spec, **INLINE)
    assert ended.code == 2
    assert sentences(ended).endswith("choose another place.")
    assert Path(spec).read_text() == SPEC
    assert keys(stored, "opt:*") == set()


# ---- how much it is -------------------------------------------------------------------------------------------------


def test_a_bigger_grid_is_refused_with_its_size_and_forced_on_request(cli, stored, spec):
    ended = cli("trials", spec, TRIALS_MAX_COMBINATIONS="11", **INLINE)
    assert ended.code == 2
    assert sentences(ended) == (
        "The spec multiplies out to 12 combinations on 2 instruments, 21 days each; "
        "TRIALS_MAX_COMBINATIONS allows 11: take values out, or pass --force."
    )
    assert keys(stored, "bt:trial:*") == set()
    ended = cli("trials", spec, "--force", TRIALS_MAX_COMBINATIONS="11", **INLINE)
    assert ended.code == 0, ended.err
    assert ended.err.splitlines()[0] == SIZE
    assert len(keys(stored, "bt:trial:run:*")) == 12


def test_as_many_combinations_as_are_allowed_are_run(cli, stored, spec):
    assert cli("trials", spec, TRIALS_MAX_COMBINATIONS="12", **INLINE).code == 0


def test_a_billion_combinations_are_refused_before_anything_is_opened(cli, tmp_path):
    ten = list(range(1, 11))
    names = ["c_min", "direction_lookback", "dir_threshold_bps", "entry_cooldown_sec", "exit_cooldown_sec"]
    names += ["max_hold_min", "tp_bps", "sl_bps", "cost_bps"]
    defaults = {**dict.fromkeys(names, ten), "c_min": [number / 10 for number in ten]}
    document = {"defaults": defaults, "instruments": [{"instrument": "EUR_USD"}]}
    ended = cli("trials", "-", stdin=json.dumps(document).encode())
    assert ended.code == 2
    assert sentences(ended).startswith("The spec multiplies out to 1000000000 combinations on 1 instruments, 90 days")
    assert list(tmp_path.iterdir()) == []


def test_what_is_tried_every_night_is_a_spec_within_the_bound():
    spec = trials.parse(yaml_text.load(NIGHTLY.read_bytes()), strategies.rules())
    settings = load({"HOTBAND_SOURCE": "simulated"}, None).settings
    assert set(spec.instruments) == set(settings.pairs)
    assert 0 < trials.count(spec) <= settings.trials_max_combinations


# ---- what cannot be run ---------------------------------------------------------------------------------------------

ONE = "instruments: [{instrument: EUR_USD}]\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"defaults: {{c_mim: 0.5}}\n{ONE}", "defaults.c_mim is not known here; did you mean c_min?"),
        (
            "instruments: [{instrument: EUR_USD, overrides: {lookback: 3}}]",
            "instruments.0.overrides.lookback is not known here; did you mean direction_lookback?",
        ),
        (f"defaults: {{c_min: []}}\n{ONE}", "defaults.c_min holds no value."),
        ("instruments: []", "instruments must list at least one entry such as {instrument: EUR_USD}."),
        ("window_days: 30", "instruments must list at least one entry such as {instrument: EUR_USD}."),
        ("", "The document must hold names with values."),
        (
            "instruments: [{instrument: EUR_USD}, {instrument: eurusd}]",
            "instruments.1.instrument cannot be 'eurusd'; write one such as EUR_USD.",
        ),
        (
            f"defaults: {{c_min: [0.5, high]}}\n{ONE}",
            "defaults.c_min.1 cannot be 'high': 'high' is no threshold; "
            "write a number such as 0.55, or a percentile from p0 to p100.",
        ),
        (f"defaults: {{strategy: luck}}\n{ONE}", "defaults.strategy cannot be 'luck'; take one of combined, fade."),
        (f"window_days: 0\n{ONE}", "window_days cannot be 0: Expected `int` >= 1."),
        (f"{ONE}defaults: [", "line 2: it is not YAML (expected the node content, but found '<stream end>'); mend it."),
        ("window_days: 9\nwindow_days: 9", 'line 2: it is not YAML (found duplicate key "window_days"'),
    ],
)
def test_a_spec_that_cannot_be_used_is_one_sentence_that_names_the_place(cli, spec, text, sentence):
    Path(spec).write_text(text)
    ended = cli("trials", spec)
    assert ended.code == 2
    assert sentences(ended).startswith(f"{spec}: ")
    told = sentences(ended).removeprefix(f"{spec}: ")
    assert told.startswith(sentence)
    assert len(told.splitlines()) == 1
    ended = cli("trials", "-", "--json", stdin=text.encode())
    assert ended.code == 2
    assert sentences(ended) == f"standard input: {told}"


def test_text_that_is_no_text_is_one_sentence(cli):
    ended = cli("trials", "-", stdin=b"instruments:\n- \xff\xfe")
    assert ended.code == 2
    assert sentences(ended) == "standard input: line 2: it is not UTF-8 text; write it anew."


def test_a_missing_file_and_a_folder_are_one_sentence(cli, tmp_path):
    ended = cli("trials", "none.yaml")
    assert ended.code == 2
    assert sentences(ended) == "none.yaml cannot be read (No such file or directory)."
    ended = cli("trials", str(tmp_path))
    assert ended.code == 2
    assert sentences(ended) == f"{tmp_path} cannot be read (Is a directory)."


def refusal(ended, size):
    """Return the sentence that follows the size of a spec."""
    first, *rest = ended.err.splitlines()
    assert first == size
    assert not ended.out
    assert "Traceback" not in ended.err
    (last,) = (line for line in rest if line.startswith("hotbandd: "))
    assert last == rest[-1]
    return last.removeprefix("hotbandd: ")


@pytest.mark.parametrize("pair", ["AUD_USD", "XXX_YYY"])
def test_an_instrument_without_candles_is_one_sentence_after_the_size(cli, stored, pair):
    text = f"window_days: 21\ninstruments: [{{instrument: EUR_USD}}, {{instrument: {pair}}}]"
    ended = cli("trials", "-", stdin=text.encode(), **INLINE)
    assert ended.code == 1
    assert refusal(ended, "hotbandd: 2 combinations on 2 instruments, 21 days each.") == (
        f"There are no stored candles of {pair}; run hotbandd warmup, or take it out of the spec."
    )
    assert keys(stored, "bt:trial:*") == set()


def test_candles_that_ended_long_ago_are_none(cli, stored, spec, monkeypatch):
    monkeypatch.setattr(common, "wall_ms", lambda: NOW + 57 * DAY_MS)
    ended = cli("trials", spec, **INLINE)
    assert ended.code == 1
    assert refusal(ended, SIZE).startswith("There are no stored candles of EUR_USD;")


def test_two_at_once_are_refused(cli, stored, spec):
    stored.set("bt:trial:lock", "another-1", px=60_000)
    ended = cli("trials", spec, **INLINE)
    assert ended.code == 4
    assert refusal(ended, SIZE) == "Trials run already; wait until they end, or a minute after they died."
    assert keys(stored, "bt:trial:*") == {"bt:trial:lock"}
    assert stored.get("bt:trial:lock") == b"another-1"


def test_parameters_in_force_that_cannot_be_read_stop_the_trials(cli, redis, spec, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "live_params.yaml").write_text("instruments: [")
    ended = cli("trials", spec, **INLINE)
    assert ended.code == 2
    assert "live_params.yaml" in refusal(ended, SIZE)
    assert keys(redis, "bt:trial:*") == set()


def test_a_server_that_is_not_there_is_one_sentence(cli, spec, tmp_path):
    nowhere = f"unix://{tmp_path}/none.sock"
    for words in (("trials", spec), ("report",)):
        ended = cli(*words, VALKEY_URL=nowhere, **INLINE)
        assert ended.code == 3
        assert "Traceback" not in ended.err
        assert ended.err.splitlines()[-1].startswith("hotbandd: ")
