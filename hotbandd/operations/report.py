"""Report: what the trials of the last days found, as files for people, and as best configurations for promotion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import numpy as np
from msgspec.structs import replace

from hotbandd.core import assessment, findings, promotion
from hotbandd.core.assessment import Tried
from hotbandd.core.candles import DAY_MS, Floats
from hotbandd.core.findings import Finding
from hotbandd.core.listing import Trial
from hotbandd.core.means import GlobalWinner, Means
from hotbandd.core.trial_documents import GLOBAL, BestConfig, Luck, ReportDocument, TrialRun
from hotbandd.errors import UnhealthyError
from hotbandd.operations.progress import Progress
from hotbandd.ports import Artifacts, Compute, TrialArchive

FOLDER: Final = Path("output/reports/backtests")
AHEAD: Final = 2  # instruments per worker: one being assessed, and one that waits at its door
Page = Callable[[str, Sequence[Finding]], bytes]  # of the Markdown text and the findings


class Made(NamedTuple):
    """Where the report lies, and the winners' parameter sets by instrument, GLOBAL included."""

    files: list[Path]
    winners: dict[str, str]


@dataclass(frozen=True)
class Report:
    """Reads runs instrument by instrument, assesses winners, writes the report and the best configurations."""

    archive: TrialArchive
    artifacts: Artifacts
    compute: Compute
    page: Page
    progress: Progress

    async def run(self, days: int, min_trades: int, now: int, folder: Path = FOLDER) -> Made:
        """Report on the runs of the last days. Raises UnhealthyError where there is none; files are written before anything else is."""
        found, means = await self._findings(await self.archive.listed(now - days * DAY_MS), min_trades)
        if not found:
            raise UnhealthyError(f"There are no trials of the last {days} days; run hotbandd trials, or raise --days.")
        best = means.winner()
        configs = await self._configs(found, best, means, now)
        luck = next((config.luck for config in configs if config.instrument == GLOBAL), None)
        text = findings.markdown(found, best, days, min_trades, now, luck)
        stem = f"last_{days}d_report"
        contents = {folder / f"{stem}.md": text.encode(), folder / f"{stem}.html": self.page(text, found)}
        files = await self.artifacts.write_together(contents)
        for config in configs:
            await self.archive.put_best(config)
        names = [one.instrument for one in found]
        await self.archive.put_report(
            ReportDocument(filename=f"{stem}.md", content=text, ts=now, days=days, instruments=names)
        )
        return Made(files, {config.instrument: config.param_key for config in configs})

    async def _findings(self, listed: Mapping[str, Sequence[Trial]], min_trades: int) -> tuple[list[Finding], Means]:
        """Read the runs of one instrument after the other, while the workers assess the ones before: how their days split, the walk-forward.

        Of the instruments being assessed only the columns that this needs are held, of those before only what was found.
        """
        found: dict[str, Finding] = {}
        means = Means()
        limit = anyio.CapacityLimiter(1)

        async def assess(winner: TrialRun, tried: Tried) -> None:
            name = winner.instrument
            try:
                found[name] = dataclasses.replace(found[name], luck=await self._luck(winner, tried))
                self.progress.advance()
            finally:
                limit.release_on_behalf_of(name)

        self.progress.begin("report", len(listed))
        async with anyio.create_task_group() as group:
            for name, trials in listed.items():
                runs = await self._newest(trials)
                means.add(runs)
                if runs:
                    found[name] = findings.of(runs, min_trades)
                winner = found[name].winner if runs else None
                if winner is None:
                    self.progress.advance()
                    continue
                limit.total_tokens = AHEAD * self.compute.width  # more workers may have joined
                await limit.acquire_on_behalf_of(name)
                group.start_soon(assess, winner, assessment.tried(runs))
        self.progress.end(f"{len(found)} instruments")
        return list(found.values()), means

    async def _newest(self, trials: Sequence[Trial]) -> list[TrialRun]:
        """Return the runs of an instrument's newest trial of which any can be read."""
        for trial in trials:
            runs = await self.archive.runs(trial)
            if runs:
                return runs
        return []

    async def _luck(self, winner: TrialRun, tried: Tried) -> Luck:
        return await self.compute.run(assessment.assess, tried, await self._returns(winner), winner.end_ms)

    async def _returns(self, run: TrialRun) -> Floats | None:
        kept = await self.archive.trades(run.run_id)
        return None if kept is None else np.array([row.ret for row in kept.trades], dtype=np.float64)

    async def _configs(
        self, found: Sequence[Finding], best: GlobalWinner | None, means: Means, now: int
    ) -> list[BestConfig]:
        configs = [_config(one.instrument, one.winner, now, one.luck) for one in found if one.winner]
        if best is not None:
            runs = means.runs()
            won = next(run for run in runs if run.params == best.params)
            luck = await self.compute.run(assessment.assess, assessment.tried(runs), np.array(won.daily), won.end_ms)
            configs.append(_config(GLOBAL, won, now, luck))
        return configs


def _config(name: str, run: TrialRun, now: int, luck: Luck | None) -> BestConfig:
    config = BestConfig(
        instrument=name,
        param_key=run.param_key,
        params=run.params,
        env={},
        summary=run.summary,
        ts=now,
        luck=luck,
    )
    return replace(config, env=promotion.settings_of(config))
