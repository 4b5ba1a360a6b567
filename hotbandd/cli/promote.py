"""``hotbandd promote`` and ``apply``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

from hotbandd.adapters import strategies, yaml_text
from hotbandd.adapters.files import FolderArtifacts
from hotbandd.cli import common
from hotbandd.cli.workbench import Workbench, workbench
from hotbandd.operations.promote import FILE, Apply, Edit, Fate, Plan, Promote
from hotbandd.settings import FILE_NAME, Settings, read_environment

_FATES: Final[dict[Fate, str]] = {
    "promoted": "promoted",
    "unchanged": "as it was",
    "gone": "taken out, as no winner is to be promoted",
}


def promote(env_file: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Write the winners to the file of live parameters, and say of each what became of it."""
    settings = common.settings(env_file, level="warning")

    async def work() -> tuple[Plan, list[Path]]:
        async with workbench(settings) as bench:
            operation, now = build(bench), common.wall_ms()
            plan = await operation.plan(now)
            return plan, [] if dry_run else await operation.carry_out(plan, now)

    plan, files = common.run(work)
    for reason in plan.refused.values():
        typer.echo(f"hotbandd: {reason}", err=True)
    if as_json:
        shown = {"instruments": plan.fates, "refused": plan.refused, "changes": plan.writes, "diff": plan.diff}
        common.print_json({"dry_run": dry_run, **shown, "files": [str(file) for file in files]})
    elif dry_run and plan.writes:
        typer.echo(plan.diff, nl=False)
    else:
        _show(plan, files)


def build(bench: Workbench) -> Promote:
    """Return the promotion of a workbench."""
    settings = bench.settings
    return Promote(
        archive=bench.trials,
        artifacts=bench.artifacts,
        pairs=settings.pairs,
        strategies=strategies.rules(),
        min_dsr=settings.promote_min_dsr,
        max_pbo=settings.promote_max_pbo,
        dump=yaml_text.dump,
        load=yaml_text.load,
    )


def apply(env_file: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Write the promoted global parameters to the settings file, and say what changed there."""
    operation = application(common.settings(env_file, level="warning"), env_file)

    async def work() -> tuple[Edit, list[Path]]:
        edit = await operation.plan()
        return edit, [] if dry_run else await operation.carry_out(edit)

    edit, files = common.run(work)
    if as_json:
        changes = {name: {"before": change.before, "after": change.after} for name, change in edit.changes.items()}
        shown = {"settings": edit.values, "changes": changes, "files": [str(file) for file in files]}
        common.print_json({"dry_run": dry_run, **shown})
    else:
        _show_edit(edit, operation.settings_file, files)


def application(settings: Settings, env_file: Path | None) -> Apply:
    """Return what applies promoted parameters to the file that the settings were read from, behind links too."""
    read = read_environment(env_file).env_file or Path(settings.home) / FILE_NAME
    return Apply(artifacts=FolderArtifacts(Path(settings.home)), load=yaml_text.load, settings_file=read.resolve())


def _show(plan: Plan, files: list[Path]) -> None:
    width = max(map(len, plan.fates), default=0)
    for name, fate in plan.fates.items():
        typer.echo(f"{name:{width}}  {_FATES[fate]}")
    if not plan.fates:
        typer.echo("There is no winner to promote.")
    typer.echo(f"Written: {files[-1]}." if files else f"{FILE} stays as it is.")


def _show_edit(edit: Edit, path: Path, files: list[Path]) -> None:
    for name, change in edit.changes.items():
        typer.echo(f"{name}  {'unset' if change.before is None else change.before} → {change.after}")
    if not edit.values:
        typer.echo(f"{FILE} has no global parameters; {path} stays as it is.")
    elif not edit.changes:
        typer.echo(f"{path} says so already, and stays as it is.")
    elif files:
        typer.echo(f"Written: {files[0]}. A running daemon reads it on hotbandd reload.")
