"""The report: files first, then best configurations and the report in Valkey; nothing where files fail."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from hotbandd.adapters import plots
from hotbandd.adapters.compute import InlineCompute
from hotbandd.adapters.store.trials import ValkeyTrials
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core import winners
from hotbandd.core.candles import DAY_MS
from hotbandd.core.findings import Finding
from hotbandd.core.trial_documents import GLOBAL, BestConfig, TradeRow, TrialRun, TrialTrades
from hotbandd.errors import UnhealthyError, UsageError
from hotbandd.operations.report import FOLDER, Made, Report
from kernels import luck
from tests.core.test_winners import AUD, EUR, JPY, run_of
from tests.operations.conftest import Outside

NOW = 1_718_800_200_000
DAYS, WINDOW = 14, 60
BEST_MS = 14 * DAY_MS
NAMES = ("last_14d_report.md", "last_14d_report.html")
ENV = {"GUARD_MIN_COHERENCE", "AUTO_MIN_COHERENCE", "AUTO_DIRECTION_LOOKBACK", "AUTO_DIR_THRESHOLD_BPS"}


@pytest.fixture
async def archive(outside: Outside, valkey_url: str) -> AsyncIterator[ValkeyTrials]:
    backend = ValkeyBackend(valkey_url)
    yield ValkeyTrials(backend)
    await backend.aclose()


def plain(text: str, found: Sequence[Finding]) -> bytes:
    return f"{len(found)} findings\n{text}".encode()


def huge(text: str, found: Sequence[Finding]) -> bytes:
    return plain(text, found).ljust(1 << 22)


async def reported(outside: Outside, archive: ValkeyTrials, *, now: int = NOW, folder: Path = FOLDER) -> Made:
    return await Report(archive, outside.artifacts, InlineCompute(), plain).run(DAYS, 5, now, folder)


def daily_of(pair: str, lookback: int) -> list[float]:
    made = np.random.default_rng([lookback, len(pair), ord(pair[0])]).normal(0.0, 0.001, WINDOW)
    return made.tolist()  # type: ignore[no-any-return]


def trial(pair: str, lookback: int, *, pnl: float = 0.25, calmar: float = 1.0, ts: int = NOW - 1000) -> TrialRun:
    run = run_of(lookback, pair, run_id=f"{pair}-{lookback}", ts=ts, pnl=pnl, calmar=calmar)
    daily = daily_of(pair, lookback)
    return msgspec.structs.replace(run, daily=daily, sharpe=luck.sharpe(np.array(daily)))


def trade(ret: float) -> TradeRow:
    return TradeRow(side="long", entry_ms=1, exit_ms=2, entry=1.0, exit=1.0, ret=ret, reason="end", mae=0.0, mfe=0.0)


async def stored(archive: ValkeyTrials, *runs: TrialRun) -> None:
    """Store runs, and as their trades one a day."""
    await archive.put_pack("0123456789ab", runs)
    for run in runs:
        await archive.put_trades(TrialTrades(run_id=run.run_id, trades=[trade(ret) for ret in run.daily]))


def of_two_instruments(*, pnl: float = 0.25) -> list[TrialRun]:
    """Return runs of which lookback 3 wins on EUR_USD, 6 on USD_JPY, and 12 on average."""
    calmars = {(EUR, 3): 3.0, (EUR, 6): 0.5, (EUR, 12): 2.0, (JPY, 3): 0.5, (JPY, 6): 3.0, (JPY, 12): 2.5}
    return [trial(pair, lookback, calmar=calmar, pnl=pnl) for (pair, lookback), calmar in calmars.items()]


async def keys(outside: Outside) -> set[str]:
    return {key.decode() for key in await outside.redis.keys("opt:*")}


# ---- what is written ------------------------------------------------------------------------------------------------


async def test_both_files_are_written_and_the_newest_report_is_the_markdown(
    outside: Outside, archive: ValkeyTrials
) -> None:
    await stored(archive, *of_two_instruments())
    made = await reported(outside, archive)
    assert made.files == [outside.home / FOLDER / name for name in NAMES]
    text, page = (file.read_bytes().decode() for file in made.files)
    assert text.startswith("# Trials of the last 14 days\n")
    assert page == f"2 findings\n{text}"
    latest = await archive.report()
    assert latest is not None
    assert latest.content == text
    assert (latest.filename, latest.ts, latest.days, latest.instruments) == (NAMES[0], NOW, DAYS, [EUR, JPY])
    assert BEST_MS - 60_000 < await outside.redis.pttl("opt:backtests:report:latest") <= BEST_MS
    assert sorted(path.name for path in (outside.home / FOLDER).iterdir()) == sorted(NAMES)


async def test_the_page_is_the_report_with_its_plots(outside: Outside, archive: ValkeyTrials) -> None:
    await stored(archive, *of_two_instruments())
    made = await Report(archive, outside.artifacts, InlineCompute(), plots.report_page).run(DAYS, 5, NOW)
    page = made.files[1].read_text()
    assert "<title>Trials of the last 14 days</title>" in page
    assert "Plotly.newPlot(" in page


async def test_another_folder_and_other_days_name_other_files(outside: Outside, archive: ValkeyTrials) -> None:
    await stored(archive, *of_two_instruments())
    made = await Report(archive, outside.artifacts, InlineCompute(), plain).run(3, 5, NOW, outside.home / "elsewhere")
    assert made.files == [outside.home / "elsewhere" / f"last_3d_report.{kind}" for kind in ("md", "html")]
    assert all(file.is_file() for file in made.files)
    assert not (outside.home / "output").exists()


# ---- the best configurations ----------------------------------------------------------------------------------------


async def test_each_winner_becomes_a_best_configuration_with_settings_and_luck(
    outside: Outside, archive: ValkeyTrials
) -> None:
    runs = of_two_instruments()
    await stored(archive, *runs)
    made = await reported(outside, archive)
    for pair, lookback in ((EUR, 3), (JPY, 6)):
        (won,) = (run for run in runs if (run.instrument, run.params.direction_lookback) == (pair, lookback))
        best = await archive.best(pair)
        assert best is not None
        assert (best.instrument, best.param_key, best.params, best.summary, best.ts) == (
            pair,
            won.param_key,
            won.params,
            won.summary,
            NOW,
        )
        assert made.winners[pair] == won.param_key
        assert best.env.keys() == ENV
        assert best.env["AUTO_DIRECTION_LOOKBACK"] == str(lookback)
        assert best.env["GUARD_MIN_COHERENCE"] == best.env["AUTO_MIN_COHERENCE"] == "0.5"
        assert best.luck is not None
        assert best.luck.trials == 3
        mine = [run.sharpe for run in runs if run.instrument == pair]
        assert best.luck.deflated_sharpe == luck.deflated_sharpe(np.array(won.daily), np.array(mine))
        daily = np.array([run.daily for run in runs if run.instrument == pair]).T
        assert best.luck.pbo == luck.overfitting(daily, 12).pbo
        assert len(best.luck.walk_forward) == 4
        assert BEST_MS - 60_000 < await outside.redis.pttl(f"opt:best_config:{pair}") <= BEST_MS
        assert best.luck.words in made.files[0].read_text()


async def test_the_set_that_is_best_on_average_becomes_the_best_of_all_with_mean_figures(
    outside: Outside, archive: ValkeyTrials
) -> None:
    runs = of_two_instruments()
    lacking = trial(EUR, 24, calmar=2.5)  # on one instrument only: it counts for none of the means
    await stored(archive, *runs, lacking)
    made = await reported(outside, archive)
    best = await archive.best(GLOBAL)
    assert best is not None
    assert best.params.direction_lookback == 12
    assert best.summary == winners.mean_summary([run for run in runs if run.params.direction_lookback == 12])
    assert best.summary.calmar == 2.25
    assert (best.instrument, best.ts) == (GLOBAL, NOW)
    daily = np.array([np.add(daily_of(EUR, lookback), daily_of(JPY, lookback)) / 2 for lookback in (3, 6, 12)])
    sharpes = np.array([luck.sharpe(row) for row in daily])
    assert best.luck is not None
    assert best.luck.trials == 3
    assert best.luck.deflated_sharpe == pytest.approx(luck.deflated_sharpe(daily[2], sharpes))
    assert best.luck.pbo == luck.overfitting(daily.T, 12).pbo
    assert best.env.keys() == ENV
    assert best.env["AUTO_DIRECTION_LOOKBACK"] == "12"
    assert made.winners.keys() == {EUR, JPY, GLOBAL}
    assert made.winners[GLOBAL] == best.param_key
    assert f"`{best.param_key}` has the highest mean calmar, 2.25, over EUR_USD, USD_JPY" in made.files[0].read_text()


async def test_without_a_set_that_ran_everywhere_there_is_no_best_of_all(
    outside: Outside, archive: ValkeyTrials
) -> None:
    await stored(archive, trial(EUR, 3), trial(JPY, 6))
    made = await reported(outside, archive)
    assert made.winners.keys() == {EUR, JPY}
    assert await keys(outside) == {f"opt:best_config:{EUR}", f"opt:best_config:{JPY}", "opt:backtests:report:latest"}
    assert "there is no global configuration" in made.files[0].read_text()


async def test_where_none_qualifies_nothing_is_stored_and_an_earlier_best_lives_out_its_days(
    outside: Outside, archive: ValkeyTrials
) -> None:
    await stored(archive, *of_two_instruments(pnl=-0.25), trial(AUD, 6, pnl=0.25))
    names = [f"opt:best_config:{name}" for name in (EUR, GLOBAL)]
    for key in names:
        await outside.redis.set(key, b"earlier", px=1_000_000)
    made = await reported(outside, archive)
    assert made.winners.keys() == {AUD}
    for key in names:
        assert await outside.redis.get(key) == b"earlier"
        assert 900_000 < await outside.redis.pttl(key) <= 1_000_000
    assert await outside.redis.exists(f"opt:best_config:{JPY}") == 0
    assert "An earlier best configuration is left to expire." in made.files[0].read_text()
    assert await archive.report() is not None


async def test_a_winner_takes_the_place_of_an_earlier_one(outside: Outside, archive: ValkeyTrials) -> None:
    await stored(archive, *of_two_instruments())
    await reported(outside, archive)
    await outside.redis.pexpire(f"opt:best_config:{EUR}", 1_000_000)
    await stored(archive, trial(EUR, 6, calmar=9.0, ts=NOW))
    await reported(outside, archive, now=NOW + 5)
    best = await archive.best(EUR)
    assert best is not None
    assert (best.params.direction_lookback, best.ts) == (6, NOW + 5)
    assert await outside.redis.pttl(f"opt:best_config:{EUR}") > 1_000_000


async def test_a_winner_needs_the_trades_that_are_asked_for(outside: Outside, archive: ValkeyTrials) -> None:
    await stored(archive, trial(EUR, 3))  # 9 trades
    report = Report(archive, outside.artifacts, InlineCompute(), plain)
    assert (await report.run(DAYS, 10, NOW)).winners.keys() == {GLOBAL}
    assert (await report.run(DAYS, 9, NOW)).winners.keys() == {EUR, GLOBAL}


async def test_without_kept_trades_the_luck_of_a_winner_is_not_known(outside: Outside, archive: ValkeyTrials) -> None:
    run = trial(EUR, 3)
    await archive.put_pack("0123456789ab", [run])
    await reported(outside, archive)
    best = await archive.best(EUR)
    assert best is not None
    assert best.luck is not None
    assert best.luck.deflated_sharpe is None
    assert "not known" in best.luck.words


# ---- which runs count -----------------------------------------------------------------------------------------------


async def test_without_trials_it_says_what_to_do_and_writes_nothing(outside: Outside, archive: ValkeyTrials) -> None:
    sentence = r"^There are no trials of the last 14 days; run hotbandd trials, or raise --days\.$"
    with pytest.raises(UnhealthyError, match=sentence):
        await reported(outside, archive)
    await stored(archive, trial(EUR, 3, ts=NOW - DAYS * DAY_MS - 1))
    with pytest.raises(UnhealthyError, match=sentence):
        await reported(outside, archive)
    assert not (outside.home / FOLDER).exists()
    assert await keys(outside) == set()


async def test_only_trials_of_the_days_asked_for_count(outside: Outside, archive: ValkeyTrials) -> None:
    await stored(archive, trial(EUR, 3, ts=NOW - DAYS * DAY_MS), trial(JPY, 3, ts=NOW - DAYS * DAY_MS - 1))
    assert (await reported(outside, archive)).winners.keys() == {EUR, GLOBAL}


async def test_only_the_spec_that_ran_last_on_an_instrument_counts(outside: Outside, archive: ValkeyTrials) -> None:
    old = msgspec.structs.replace(trial(EUR, 3, calmar=50.0, ts=NOW - 2000), spec="ffffffffffff")
    await stored(archive, old, trial(EUR, 6, calmar=1.0))
    made = await reported(outside, archive)
    assert made.winners[EUR] == trial(EUR, 6).param_key
    assert old.param_key not in made.files[0].read_text()


# ---- where files cannot be written ----------------------------------------------------------------------------------


async def test_a_file_in_the_place_of_the_folder_leaves_everything_as_it_was(
    outside: Outside, archive: ValkeyTrials
) -> None:
    await stored(archive, *of_two_instruments())
    place = outside.home / "reports"
    place.write_text("mine")
    with pytest.raises(UsageError, match=r"last_14d_report\.md cannot be written \(.+\); choose another place\.$"):
        await reported(outside, archive, folder=place)
    assert place.read_text() == "mine"
    assert await keys(outside) == set()


@contextmanager
def room(size: int) -> Iterator[None]:
    """Let no file grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_where_the_page_has_no_room_files_and_valkey_stay_as_they_were(
    outside: Outside, archive: ValkeyTrials
) -> None:
    await stored(archive, *of_two_instruments())
    made = await reported(outside, archive)
    files = {file: file.read_bytes() for file in made.files}
    values = {key: await outside.redis.get(key) for key in await keys(outside)}
    assert len(values) == 4
    await stored(archive, trial(EUR, 6, calmar=9.0))
    with room(1 << 20), pytest.raises(UsageError, match=r"last_14d_report\.html cannot be written"):
        await Report(archive, outside.artifacts, InlineCompute(), huge).run(DAYS, 5, NOW + 5)
    assert {path: path.read_bytes() for path in (outside.home / FOLDER).iterdir()} == files
    assert {key: await outside.redis.get(key) for key in await keys(outside)} == values


async def test_where_the_page_cannot_take_its_place_valkey_stays_as_it_was(
    outside: Outside, archive: ValkeyTrials
) -> None:
    await stored(archive, *of_two_instruments())
    (outside.home / FOLDER / NAMES[1]).mkdir(parents=True)
    with pytest.raises(UsageError, match=r"last_14d_report\.html cannot be written"):
        await reported(outside, archive)
    assert await keys(outside) == set()


async def test_what_is_stored_is_what_a_promotion_reads(outside: Outside, archive: ValkeyTrials) -> None:
    await stored(archive, *of_two_instruments())
    await reported(outside, archive)
    for name in (EUR, JPY, GLOBAL):
        raw = await outside.redis.get(f"opt:best_config:{name}")
        found = msgspec.json.decode(raw, type=BestConfig)
        assert found == await archive.best(name)
        assert msgspec.json.decode(raw)["schema"] == 1
