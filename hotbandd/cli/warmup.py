"""``hotbandd warmup``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from hotbandd import parts
from hotbandd.cli import common, progress
from hotbandd.cli.workbench import Workbench, workbench
from hotbandd.errors import UnhealthyError, UsageError
from hotbandd.operations.backfill import Backfill, Wanted
from hotbandd.operations.hydrate import Hydrate
from hotbandd.operations.prime import Measure, Prime
from hotbandd.operations.progress import Progress
from hotbandd.operations.warmup import STEPS, Warmup, parse_steps
from hotbandd.settings import parse_pairs


def warmup(
    steps: str, *, pairs: str | None, count: int | None, days: int | None, as_json: bool, env_file: Path | None
) -> None:
    """Run steps of the warm-up; raise UnhealthyError where a manifold is not as it should be afterwards."""
    chosen = parse_steps(steps)
    if count is not None and days is not None:
        raise UsageError("--count and --days both say how far back; give one of them.")
    settings = common.settings(env_file, source_needed="backfill" in chosen)
    followed = settings.pairs if pairs is None else parse_pairs(pairs)
    wanted = Wanted(count=count or settings.candle_count, days=days)

    async def work() -> tuple[Mapping[str, Mapping[str, Any]], list[str]]:
        async with workbench(settings, source="backfill" in chosen) as bench:
            with progress.shown() as shown:
                built = build(bench, shown)
                done = await built.run(chosen, followed, wanted, common.wall_ms())
                return done, await built.faults(chosen, followed, common.wall_ms())

    done, faults = common.run(work)
    if as_json:
        common.print_json({"steps": done, "healthy": not faults, "faults": faults})
    else:
        _show(done, followed)
    if faults:
        raise UnhealthyError(" ".join(faults))


def build(bench: Workbench, shown: Progress) -> Warmup:
    """Return the warm-up of a workbench."""
    settings, granularity = bench.settings, bench.settings.candle_gran
    measure = Measure(settings.kernel, parts.form(settings), settings.session_pattern_lookback_min)
    source = bench.source
    return Warmup(
        backfill=None if source is None else Backfill(source, bench.store, bench.calendar, granularity, shown),
        prime=Prime(
            bench.store,
            bench.signals,
            bench.artifacts,
            bench.compute,
            measure,
            granularity,
            settings.manifold_retention_days,
            shown,
        ),
        hydrate=Hydrate(
            bench.store,
            bench.signals,
            bench.compute,
            measure,
            parts.bounds(settings),
            granularity,
            settings.candle_source.name,
            shown,
        ),
        calendar=bench.calendar,
    )


def _show(done: Mapping[str, Mapping[str, Any]], pairs: tuple[str, ...]) -> None:
    named = {"backfill": "new candles", "prime": "signals", "hydrate": "manifold written"}
    table = Table("instrument", *(named[step] for step in STEPS if step in done))
    for pair in pairs:
        table.add_row(pair, *(_cell(done[step][pair]) for step in STEPS if step in done))
    common.console().print(table)


def _cell(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
