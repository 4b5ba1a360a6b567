"""``hotbandd deploy``: from a cold or running system to promoted winners, one step after the other."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from rich.table import Table

from hotbandd.adapters import plots
from hotbandd.adapters.pid_file import running_pid
from hotbandd.cli import common, doctor, progress, promote, trials, warmup
from hotbandd.cli.workbench import Workbench, workbench
from hotbandd.core.documents import Params
from hotbandd.core.trials import Spec
from hotbandd.errors import UnhealthyError, UsageError
from hotbandd.operations import deploy as operation
from hotbandd.operations.backfill import Wanted
from hotbandd.operations.deploy import Result, Step
from hotbandd.operations.doctor import Check
from hotbandd.operations.progress import Progress
from hotbandd.operations.report import Report
from hotbandd.operations.warmup import STEPS
from hotbandd.settings import Settings

log = structlog.get_logger()

NIGHTLY = "config/experiments/nightly.yaml"
REPORT_DAYS, MIN_TRADES = 14, 5
ESSENTIAL = frozenset({"versions", "settings", "disk", "valkey", "oanda"})  # what has to be well before anything begins
_STYLES = {"done": "green", "skipped": "dim", "failed": "red", "not reached": "dim"}


def deploy_command(
    *, spec: Path | None, days: int | None, min_trades: int, as_json: bool, env_file: Path | None
) -> None:
    """Run the flow; raise UnhealthyError where a step failed."""
    settings = common.settings(env_file, source_needed=True)
    found = trials.read_spec(str(spec or _nightly(settings))) if settings.run_trials_on_deploy else None
    if found is not None:
        trials.sized(found, settings, force=False)
    base = trials.in_force(settings, found) if found is not None else {}

    async def work() -> list[Result]:
        async with workbench(settings, source=settings.backfill_on_deploy) as bench:
            with progress.shown() as shown:
                flow = _Flow(settings, bench, found, base, days, min_trades, env_file, shown)
                return await operation.run(flow.steps(), time.monotonic, _told)

    results = common.run(work)
    if as_json:
        common.print_json({"succeeded": operation.succeeded(results), "steps": results})
    else:
        _show(results)
    failed = [result for result in results if result.state == "failed"]
    if failed:
        engaged = any(result.name == "engage" and result.state == "done" for result in results)
        switch = "no weight rises until hotbandd kill release" if engaged else "the kill switch is as it was"
        raise UnhealthyError(f"{failed[0].name} failed: {failed[0].said} The steps after it did not run; {switch}.")


def _told(result: Result) -> None:
    log.info("deploy.step", step=result.name, state=result.state, seconds=round(result.seconds, 3), said=result.said)


def _nightly(settings: Settings) -> Path:
    """Return the spec of the home, or the one that is shipped beside the source. Raises UsageError where there is none."""
    places = (Path(settings.home) / NIGHTLY, Path(__file__).resolve().parents[2] / NIGHTLY)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UsageError(
            f"There is no {NIGHTLY} in {places[0].parents[2].absolute()}; put a spec there, or name one with --spec."
        )
    return found


@dataclass(frozen=True)
class _Flow:
    settings: Settings
    bench: Workbench
    spec: Spec | None
    base: Mapping[str, Params]
    days: int | None
    min_trades: int
    env_file: Path | None
    shown: Progress

    def steps(self) -> list[Step]:
        """Return the steps, with those that the settings leave out."""
        settings = self.settings
        backfill = None if settings.backfill_on_deploy else "BACKFILL_ON_DEPLOY is 0"
        tried = None if settings.run_trials_on_deploy else "RUN_TRIALS_ON_DEPLOY is 0"
        applied = None if settings.apply_winners_on_deploy else "APPLY_WINNERS_ON_DEPLOY is 0"
        released = (
            None if settings.disengage_kill_on_success else "DISENGAGE_KILL_ON_SUCCESS is 0: hotbandd kill release"
        )
        return [
            Step("health", self._health),
            Step("engage", self._engage),
            Step("warmup", self._warmup, backfill),
            Step("trials", self._trials, tried),
            Step("report", self._report, tried),
            Step("promote", self._promote, applied),
            Step("apply", self._apply, applied),
            Step("reload", self._reload, applied),
            Step("release", self._release, released),
        ]

    async def _health(self) -> str:
        checks = [check for check in await doctor.checks(self.settings) if check.name in ESSENTIAL]
        return _well(checks)

    async def _engage(self) -> str:
        await self.bench.store.set_kill_switch(engaged=True)
        return "the kill switch is engaged: no weight rises while things change"

    async def _warmup(self) -> str:
        built = warmup.build(self.bench, self.shown)
        pairs, now = self.settings.pairs, common.wall_ms()
        steps = frozenset(STEPS)
        await built.run(steps, pairs, Wanted(count=self.settings.candle_count, days=self.days), now)
        faults = await built.faults(steps, pairs, common.wall_ms())
        if faults:
            raise UnhealthyError(" ".join(faults))
        return f"candles, signals and manifolds of {len(pairs)} instruments are there"

    async def _trials(self) -> str:
        if self.spec is None:
            return "nothing to try"
        done = await trials.build(self.bench, self.base, self.shown).run(self.spec, common.wall_ms())
        return f"{done.now} of {done.total} combinations ran, {done.before} were finished before"

    async def _report(self) -> str:
        bench = self.bench
        report = Report(bench.trials, bench.artifacts, bench.compute, plots.report_page, self.shown)
        made = await report.run(REPORT_DAYS, self.min_trades, common.wall_ms())
        return f"{len(made.winners)} winners; {made.files[0]}"

    async def _promote(self) -> str:
        now = common.wall_ms()
        built = promote.build(self.bench)
        plan = await built.plan(now)
        await built.carry_out(plan, now)
        told = [f"{name} {fate}" for name, fate in plan.fates.items()] + list(plan.refused.values())
        return ", ".join(told) or "there is no winner to promote"

    async def _apply(self) -> str:
        built = promote.application(self.settings, self.env_file)
        edit = await built.plan()
        await built.carry_out(edit)
        if not edit.values:
            return "there are no global parameters; the settings stay as they are"
        return (
            ", ".join(f"{name}={change.after}" for name, change in edit.changes.items())
            or "the settings say so already"
        )

    async def _reload(self) -> str:
        pid = running_pid(Path(self.settings.home))
        if pid is None:
            return "no daemon runs here; it will read the settings when it starts"
        os.kill(pid, signal.SIGHUP)
        return f"the daemon {pid} reads its settings again"

    async def _release(self) -> str:
        said = _well(await doctor.checks(self.settings))
        await self.bench.store.set_kill_switch(engaged=False)
        return f"{said}; the kill switch is released"


def _well(checks: list[Check]) -> str:
    """Say that checks found no fault. Raises UnhealthyError with each fault and what to do."""
    faults = [f"{check.name}: {check.found}. {check.advice}" for check in checks if check.state == "fault"]
    if faults:
        raise UnhealthyError(" ".join(faults))
    return f"{len(checks)} checks found no fault"


def _show(results: list[Result]) -> None:
    table = Table("step", "state", "seconds", "what it did")
    for result in results:
        table.add_row(result.name, f"[{_STYLES[result.state]}]{result.state}[/]", f"{result.seconds:.1f}", result.said)
    common.console().print(table)
