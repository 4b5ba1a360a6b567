"""Report: what the trials of the last days found, as files for people, and as best configurations for promotion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import numpy as np
from msgspec.structs import replace

from hotbandd.core import assessment, findings, promotion, winners
from hotbandd.core.candles import DAY_MS, Floats
from hotbandd.core.findings import Finding
from hotbandd.core.trial_documents import GLOBAL, BestConfig, Luck, ReportDocument, TrialRun
from hotbandd.core.winners import GlobalWinner
from hotbandd.errors import UnhealthyError
from hotbandd.ports import Artifacts, Compute, TrialArchive

FOLDER: Final = Path("output/reports/backtests")
Page = Callable[[str, Sequence[Finding]], bytes]  # of the Markdown text and the findings


class Made(NamedTuple):
    """Where the report lies, and the winners' parameter sets by instrument, GLOBAL included."""

    files: list[Path]
    winners: dict[str, str]


@dataclass(frozen=True)
class Report:
    """Reads runs, assesses winners, writes the report and the best configurations."""

    archive: TrialArchive
    artifacts: Artifacts
    compute: Compute
    page: Page

    async def run(self, days: int, min_trades: int, now: int, folder: Path = FOLDER) -> Made:
        """Report on the runs of the last days. Raises UnhealthyError where there is none; files are written before anything else is."""
        listed = findings.newest_runs(await self.archive.runs(now - days * DAY_MS))
        if not listed:
            raise UnhealthyError(f"There are no trials of the last {days} days; run hotbandd trials, or raise --days.")
        found = await self._findings(listed, min_trades)
        best = winners.global_winner(run for runs in listed.values() for run in runs)
        configs = await self._configs(found, best, now)
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

    async def _findings(self, listed: Mapping[str, Sequence[TrialRun]], min_trades: int) -> list[Finding]:
        """Assess instruments side by side, the ways to split their days and the walk-forward on the workers."""
        found: dict[str, Finding] = {}
        limit = anyio.CapacityLimiter(2 * self.compute.width)

        async def one(name: str, runs: Sequence[TrialRun]) -> None:
            async with limit:
                found[name] = await self._finding(name, runs, min_trades)

        async with anyio.create_task_group() as group:
            for name, runs in listed.items():
                group.start_soon(one, name, runs)
        return [found[name] for name in listed]

    async def _finding(self, name: str, runs: Sequence[TrialRun], min_trades: int) -> Finding:
        won = winners.winner(runs, min_trades)
        if won is None:
            return Finding(name, runs, None)
        luck = await self.compute.run(assessment.assess, won, runs, await self._returns(won), won.end_ms)
        return Finding(name, runs, won, luck)

    async def _returns(self, run: TrialRun) -> Floats | None:
        kept = await self.archive.trades(run.run_id)
        return None if kept is None else np.array([row.ret for row in kept.trades], dtype=np.float64)

    async def _configs(self, found: Sequence[Finding], best: GlobalWinner | None, now: int) -> list[BestConfig]:
        configs = [_config(one.instrument, one.winner, now, one.luck) for one in found if one.winner]
        if best is not None:
            runs = winners.averaged(run for one in found for run in one.runs)
            won = next(run for run in runs if run.params == best.params)
            luck = await self.compute.run(assessment.assess, won, runs, np.array(won.daily), won.end_ms)
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
