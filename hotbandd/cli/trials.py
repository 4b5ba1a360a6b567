"""``hotbandd trials``."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import typer

from hotbandd import parts
from hotbandd.adapters import strategies, yaml_text
from hotbandd.cli import common, progress
from hotbandd.cli.workbench import Workbench, workbench
from hotbandd.core import live_params, trials
from hotbandd.core.documents import Params
from hotbandd.core.trials import Spec
from hotbandd.errors import InputError, ParamsError, UsageError
from hotbandd.operations.progress import Progress
from hotbandd.operations.trials import Done, Trials
from hotbandd.settings import Settings


def trials_command(source: str, *, force: bool, as_json: bool, env_file: Path | None) -> None:
    """Run a spec's combinations; those that an interrupted run finished are not run again."""
    settings = common.settings(env_file)
    spec = read_spec(source)
    typer.echo(f"hotbandd: {sized(spec, settings, force=force)}.", err=True)

    base = in_force(settings, spec)

    async def work() -> Done:
        async with workbench(settings) as bench:
            with progress.shown() as shown:
                return await build(bench, base, shown).run(spec, common.wall_ms())

    done = common.run(work)
    if as_json:
        common.print_json(done._asdict())
    else:
        before = f", {done.before} were finished before" if done.before else ""
        typer.echo(f"Ran {done.now} of {done.total} combinations{before}; hotbandd report tells what came of them.")


def sized(spec: Spec, settings: Settings, *, force: bool) -> str:
    """Say how much a spec is. Raises UsageError where that is more than is allowed."""
    total = trials.count(spec)
    said = f"{total} combinations on {len(spec.instruments)} instruments, {spec.window_days} days each"
    if total > settings.trials_max_combinations and not force:
        raise UsageError(
            f"The spec multiplies out to {said}; TRIALS_MAX_COMBINATIONS allows {settings.trials_max_combinations}: "
            f"take values out, or pass --force."
        )
    return said


def build(bench: Workbench, base: Mapping[str, Params], shown: Progress) -> Trials:
    """Return the trials of a workbench."""
    settings = bench.settings
    return Trials(
        store=bench.store,
        archive=bench.trials,
        compute=bench.compute,
        calendar=bench.calendar,
        setup=parts.setup(settings),
        default_setup=parts.default_setup(),
        base=base,
        family=settings.kernel,
        granularity=settings.candle_gran,
        holder=f"{socket.gethostname()}-{os.getpid()}",
        progress=shown,
    )


def read_spec(source: str) -> Spec:
    """Read a spec from a file, or from standard input. Raises UsageError."""
    place = "standard input" if source == "-" else source
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return trials.parse(yaml_text.load(data), strategies.rules())
    except OSError as error:
        raise UsageError(f"{source} cannot be read ({error.strerror}).") from error
    except (ParamsError, InputError) as error:
        raise UsageError(f"{place}: {error}") from error


def in_force(settings: Settings, spec: Spec) -> dict[str, Params]:
    """Return the parameters in force of a spec's instruments, over which it lies."""
    overlays, base = common.live_params(settings), parts.params(settings)
    return {pair: live_params.overlay(base, overlays.get(pair, {})) for pair in spec.instruments}
