"""``hotbandd report``."""

from __future__ import annotations

from pathlib import Path

import typer

from hotbandd.adapters import plots
from hotbandd.cli import common, progress
from hotbandd.cli.workbench import workbench
from hotbandd.operations.report import FOLDER, Made, Report


def report_command(*, days: int, min_trades: int, out: Path | None, as_json: bool, env_file: Path | None) -> None:
    """Write the report of the last days' trials, and store the best configurations."""
    settings = common.settings(env_file, level="warning")

    async def work() -> Made:
        async with workbench(settings) as bench:
            with progress.shown() as shown:
                report = Report(bench.trials, bench.artifacts, bench.compute, plots.report_page, shown)
                return await report.run(days, min_trades, common.wall_ms(), out.absolute() if out else FOLDER)

    made = common.run(work)
    if as_json:
        common.print_json({"files": [str(file) for file in made.files], "winners": made.winners})
        return
    for name, key in made.winners.items():
        typer.echo(f"{name}  {key}")
    if not made.winners:
        typer.echo("No parameter set qualifies; the report says how far the best ones are away.")
    for file in made.files:
        typer.echo(f"Wrote {file}.")
