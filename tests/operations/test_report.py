"""The report: files first, then best configurations and the report in Valkey; nothing where files fail."""

from __future__ import annotations

import gc
import resource
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

import anyio
import msgspec
import numpy as np
import pytest

from hotbandd.adapters import plots
from hotbandd.adapters.compute import InlineCompute
from hotbandd.adapters.store.trials import ValkeyTrials
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core import listing, winners
from hotbandd.core.candles import DAY_MS
from hotbandd.core.findings import Finding
from hotbandd.core.listing import Trial
from hotbandd.core.trial_documents import GLOBAL, BestConfig, TradeRow, TrialRun, TrialTrades
from hotbandd.errors import UnhealthyError, UsageError
from hotbandd.operations.progress import Silent
from hotbandd.operations.report import FOLDER, Made, Report
from kernels import luck
from tests.core.test_means import global_winner, mean_summary
from tests.core.test_winners import AUD, EUR, JPY, PAIRS, run_of
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
    return await Report(archive, outside.artifacts, InlineCompute(), plain, Silent()).run(DAYS, 5, now, folder)


def daily_of(pair: str, lookback: int) -> list[float]:
    made = np.random.default_rng([lookback, len(pair), ord(pair[0])]).normal(0.0, 0.001, WINDOW)
    return made.tolist()  # type: ignore[no-any-return]


def trial(pair: str, lookback: int, *, pnl: float = 0.25, calmar: float = 1.0, ts: int = NOW - 1000) -> TrialRun:
    run = run_of(lookback, pair, ts=ts, pnl=pnl, calmar=calmar)
    daily = daily_of(pair, lookback)
    run_id = listing.run_id(run.spec, pair, run.param_key)
    return msgspec.structs.replace(run, run_id=run_id, daily=daily, sharpe=luck.sharpe(np.array(daily)))


def of_spec(run: TrialRun, spec: str) -> TrialRun:
    return msgspec.structs.replace(run, spec=spec, run_id=listing.run_id(spec, run.instrument, run.param_key))


def trade(ret: float) -> TradeRow:
    return TradeRow(side="long", entry_ms=1, exit_ms=2, entry=1.0, exit=1.0, ret=ret, reason="end", mae=0.0, mfe=0.0)


async def stored(archive: ValkeyTrials, *runs: TrialRun) -> None:
    """Store runs, a pack for each trial, and as their trades one a day."""
    packs: dict[tuple[str, str, int], list[TrialRun]] = {}
    for run in runs:
        packs.setdefault((run.spec, run.instrument, run.ts), []).append(run)
    for (spec, *_), pack in packs.items():
        await archive.put_pack(spec, pack)
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
    made = await Report(archive, outside.artifacts, InlineCompute(), plots.report_page, Silent()).run(DAYS, 5, NOW)
    page = made.files[1].read_text()
    assert "<title>Trials of the last 14 days</title>" in page
    assert "Plotly.newPlot(" in page


async def test_another_folder_and_other_days_name_other_files(outside: Outside, archive: ValkeyTrials) -> None:
    await stored(archive, *of_two_instruments())
    made = await Report(archive, outside.artifacts, InlineCompute(), plain, Silent()).run(
        3, 5, NOW, outside.home / "elsewhere"
    )
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
    assert best.summary == mean_summary([run for run in runs if run.params.direction_lookback == 12])
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
    report = Report(archive, outside.artifacts, InlineCompute(), plain, Silent())
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
    old = of_spec(trial(EUR, 3, calmar=50.0, ts=NOW - 2000), "ffffffffffff")
    await stored(archive, old, trial(EUR, 6, calmar=1.0))
    made = await reported(outside, archive)
    assert made.winners[EUR] == trial(EUR, 6).param_key
    assert old.param_key not in made.files[0].read_text()


async def test_where_nothing_of_the_newest_trial_can_be_read_the_one_before_counts(
    outside: Outside, archive: ValkeyTrials
) -> None:
    oldest, old = of_spec(trial(EUR, 12, ts=NOW - 3000), "0" * 12), of_spec(trial(EUR, 3, ts=NOW - 2000), "f" * 12)
    new, corrupt = trial(EUR, 6, calmar=9.0), trial(JPY, 6, calmar=9.0)
    await stored(archive, oldest, old, new, corrupt)
    await archive.put_runs([old])
    await outside.redis.set(f"bt:trial:pack:{corrupt.run_id}", b"no gzip")
    assert (await reported(outside, archive)).winners[EUR] == new.param_key
    await outside.redis.set(f"bt:trial:pack:{new.run_id}", b"no gzip")
    await outside.redis.delete(f"bt:trial:pack:{old.run_id}")
    made = await reported(outside, archive)
    assert made.winners == {EUR: old.param_key, GLOBAL: old.param_key}
    assert "1 parameter sets were back-tested on 1 instruments" in made.files[0].read_text()
    await outside.redis.set(f"bt:trial:run:{old.run_id}", b"{}")
    assert (await reported(outside, archive)).winners[EUR] == oldest.param_key
    await outside.redis.delete(f"bt:trial:pack:{oldest.run_id}")
    with pytest.raises(UnhealthyError, match="There are no trials of the last 14 days"):
        await reported(outside, archive)


@pytest.mark.parametrize("seed", range(6))
async def test_winners_are_those_of_all_runs_at_once(outside: Outside, archive: ValkeyTrials, seed: int) -> None:
    random = Random(seed)
    runs = [
        of_spec(
            trial(pair, lookback, pnl=random.choice([-0.25, 0.25, 0.3]), calmar=random.gauss(0, 1), ts=NOW - back), spec
        )
        for pair in PAIRS
        for spec, back in zip("abc", random.sample([1000, 2000, 3000], 3), strict=True)
        for lookback in (3, 6, 12, 24)
        if random.random() < 0.9
    ]
    await stored(archive, *runs)
    made = await reported(outside, archive)
    newest = {pair: max(run.ts for run in runs if run.instrument == pair) for pair in PAIRS}
    counted = [run for run in runs if run.ts == newest[run.instrument]]
    expected = {pair: winners.winner(run for run in counted if run.instrument == pair) for pair in PAIRS}
    best = global_winner(counted)
    keys = {pair: won.param_key for pair, won in expected.items() if won} | ({GLOBAL: best.param_key} if best else {})
    assert made.winners == keys
    for pair, won in expected.items():
        config = await archive.best(pair)
        assert (config and (config.params, config.summary)) == (won and (won.params, won.summary))
    if best is not None:
        config = await archive.best(GLOBAL)
        assert config is not None
        assert config.summary == mean_summary([run for run in counted if run.params == best.params])


# ---- how much at once -----------------------------------------------------------------------------------------------

MANY, SETS = 12, 40


class Watched:
    """An archive that counts the instruments that are read, and the runs that are in memory meanwhile."""

    def __init__(self, archive: ValkeyTrials) -> None:
        self._archive = archive
        self.read = 0
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    async def runs(self, trial: Trial) -> list[TrialRun]:
        found = await self._archive.runs(trial)
        self.read += 1
        gc.collect()
        self.most = max(self.most, sum(type(one) is TrialRun for one in gc.get_objects()))
        return found


class Crowd(InlineCompute):
    """Two workers that begin when they are told to."""

    width = 2

    def __init__(self) -> None:
        self.inside = 0
        self.go = anyio.Event()

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.inside += 1
        await self.go.wait()
        self.inside -= 1
        return await super().run(function, *args, **kwargs)


async def many(archive: ValkeyTrials) -> None:
    for i in range(MANY):
        pair = f"A{i:02d}_USD"
        await stored(archive, *(trial(pair, lookback, calmar=i + lookback) for lookback in range(1, SETS + 1)))


async def test_the_runs_of_one_instrument_are_in_memory_at_a_time(outside: Outside, archive: ValkeyTrials) -> None:
    await many(archive)
    gc.collect()
    before = sum(type(one) is TrialRun for one in gc.get_objects())
    watched = Watched(archive)
    made = await reported(outside, cast(ValkeyTrials, watched))
    assert (watched.read, len(made.winners)) == (MANY, MANY + 1)
    # those of the instrument that is read and of the one before, the sets that are averaged, and what is told of each instrument
    assert watched.most - before <= 3 * SETS + 2 * MANY


async def test_instruments_are_assessed_side_by_side_and_read_no_more_than_one_ahead(
    outside: Outside, archive: ValkeyTrials
) -> None:
    await many(archive)
    watched, crowd = Watched(archive), Crowd()
    report = Report(cast(ValkeyTrials, watched), outside.artifacts, crowd, plain, Silent())
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(report.run, DAYS, 5, NOW)
            while watched.read < 2 * crowd.width + 1 or crowd.inside < 2 * crowd.width:
                await outside.redis.ping()
            for _ in range(200):  # time enough to read the others
                await outside.redis.ping()
            assert (watched.read, crowd.inside) == (2 * crowd.width + 1, 2 * crowd.width)
            crowd.go.set()
    assert watched.read == MANY
    assert len(await keys(outside)) == MANY + 2


async def test_it_tells_how_far_it_is_instrument_by_instrument(outside: Outside, archive: ValkeyTrials) -> None:
    lost, corrupt = trial(JPY, 3, pnl=-0.25), trial(AUD, 3)
    await stored(archive, trial(EUR, 3), lost, corrupt)
    await outside.redis.set(f"bt:trial:pack:{corrupt.run_id}", b"no gzip")
    told: list[Any] = []

    class Told:
        def begin(self, step: str, total: int) -> None:
            told.append((step, total))

        def advance(self, parts: int = 1) -> None:
            told.append(parts)

        def end(self, said: str) -> None:
            told.append(said)

    await Report(archive, outside.artifacts, InlineCompute(), plain, Told()).run(DAYS, 5, NOW)
    assert told == [("report", 3), 1, 1, 1, "2 instruments"]


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
        await Report(archive, outside.artifacts, InlineCompute(), huge, Silent()).run(DAYS, 5, NOW + 5)
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
