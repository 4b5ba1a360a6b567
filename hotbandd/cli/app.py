"""The command line: words in, exit codes out. Each command imports what it needs when it runs, so that help is quick."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from hotbandd.errors import HotbandError

app = typer.Typer(
    name="hotbandd",
    help="Which FX instruments may be traded now, how much of the book each may take, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
kill = typer.Typer(help="The kill switch: while engaged, no weight rises.", no_args_is_help=True)
app.add_typer(kill, name="kill")

EnvFile = Annotated[
    Path | None, typer.Option("--env-file", help="Settings file (default: .env.hotband in HOTBAND_HOME).")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Kernel = Annotated[str | None, typer.Option("--kernel", help="calibrated or native.")]


def run() -> None:
    """Run the command line; an error is one sentence and an exit code."""
    try:
        app(prog_name=app.info.name)
    except HotbandError as error:
        typer.echo(f"hotbandd: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    finally:
        _let_go_of_stderr()


def _let_go_of_stderr() -> None:
    """Give up what stderr does not take, as on a full disk: the interpreter would try again, and end with a code of its own."""
    with suppress(ValueError):  # it is closed
        try:
            sys.stderr.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


@app.command("run")
def run_command(env_file: EnvFile = None) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # nothing has begun; later the daemon itself listens to it
    from hotbandd.cli import running

    running.run(env_file)


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option("--for", help="Stop after so many seconds.", min=1)] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds per second.", min=1, max=600)] = 60,
    seed: Annotated[int | None, typer.Option(help="Seed of the simulated market.")] = None,
    http: Annotated[str, typer.Option(help="Address of the pages.")] = "127.0.0.1:8100",
) -> None:
    """Watch it work: embedded Valkey, simulated market, a fast clock; needs nothing."""
    from hotbandd.cli import demo as command

    command.demo(seconds=seconds, speed=speed, seed=seed, http=http)


@app.command()
def replay(
    candles: Annotated[Path, typer.Option("--candles", help="Folder with a candle file per instrument.")],
    start: Annotated[str, typer.Option("--from", help="First day, or a time in ISO form (UTC).")],
    end: Annotated[str, typer.Option("--to", help="Day after the last, or a time (UTC).")],
    speed: Annotated[str, typer.Option(help="Seconds per second, or max.")] = "max",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line per published blob and weights document.")
    ] = False,
    env_file: EnvFile = None,
) -> None:
    """Run the same three loops over past candles; those before --from are their history."""
    from hotbandd.cli import replay as command

    command.replay(candles, start, end, speed=speed, as_json=as_json, env_file=env_file)


@app.command()
def manifold(
    source: Annotated[str, typer.Option("--input", help="Candle file (CSV, CSV.gz, JSON), or - for standard input.")],
    output: Annotated[str, typer.Option("--output", help="File, or - for standard output.")] = "-",
    instrument: Annotated[str | None, typer.Option(help="Instrument, where the file's name does not tell it.")] = None,
    profile: Annotated[str, typer.Option(help="strict or native.")] = "strict",
    kernel: Kernel = None,
    env_file: EnvFile = None,
) -> None:
    """Measure candles: the manifold document of a file."""
    from hotbandd.cli import measuring

    measuring.manifold(source, output, name=instrument, profile=profile, kernel=kernel, env_file=env_file)


@app.command()
def backtest(
    instrument: Annotated[str, typer.Argument(help="For example EUR_USD.")],
    candles: Annotated[
        Path | None, typer.Option(help="Candle file (CSV, CSV.gz, JSON), instead of the stored candles.")
    ] = None,
    days: Annotated[int, typer.Option(help="Length of the run.", min=1, max=3650)] = 90,
    param: Annotated[list[str] | None, typer.Option("--param", help="K=V, as often as needed: c_min=0.6")] = None,
    kernel: Kernel = None,
    plot: Annotated[Path | None, typer.Option(help="Write a page with price, trades, equity and metrics.")] = None,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Back-test one instrument strictly, over stored candles or a file."""
    from hotbandd.cli import measuring

    measuring.backtest(
        instrument,
        candles,
        days=days,
        param=param or [],
        kernel=kernel,
        plot=plot,
        as_json=as_json,
        env_file=env_file,
    )


@app.command()
def calibrate(
    instruments: Annotated[list[str] | None, typer.Argument(help="Instruments (default: all there are).")] = None,
    candles: Annotated[Path | None, typer.Option("--candles", help="Candle file, or a folder of them.")] = None,
    days: Annotated[int | None, typer.Option(help="Stored candles of so many days.", min=1, max=3650)] = None,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Show what a feed's metrics are like, and how often each bound is met on it."""
    from hotbandd.cli import calibrate as command

    command.calibrate(instruments or [], candles, days, as_json=as_json, env_file=env_file)


@app.command()
def warmup(
    steps: Annotated[str, typer.Option(help="Some of backfill,prime,hydrate.")] = "backfill,prime,hydrate",
    pairs: Annotated[str | None, typer.Option(help="Instruments (default: HOTBAND_PAIRS).")] = None,
    count: Annotated[
        int | None, typer.Option(help="Candles per instrument (default: CANDLE_COUNT).", min=1, max=1_000_000)
    ] = None,
    days: Annotated[int | None, typer.Option(help="Days, instead of a count.", min=1, max=3650)] = None,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Fill a cold Valkey: missing candles, signals and daily manifolds, newest manifolds; exit 4 if one is amiss."""
    from hotbandd.cli import warmup as command

    command.warmup(steps, pairs=pairs, count=count, days=days, as_json=as_json, env_file=env_file)


@app.command()
def trials(
    spec: Annotated[str, typer.Argument(help="YAML file of what to try, or - for standard input.")],
    force: Annotated[bool, typer.Option("--force", help="Run more than TRIALS_MAX_COMBINATIONS.")] = False,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Back-test every combination of a grid of parameters; an interrupted run is gone on with."""
    from hotbandd.cli import trials as command

    command.trials_command(spec, force=force, as_json=as_json, env_file=env_file)


@app.command()
def report(
    days: Annotated[int, typer.Option(help="Trials of so many days.", min=1, max=30)] = 14,
    min_trades: Annotated[int, typer.Option(help="Trades that a winner needs.", min=0)] = 5,
    out: Annotated[Path | None, typer.Option(help="Folder for the files, instead of output/reports/backtests.")] = None,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Report on the trials of the last days: winners, and how much of each may be luck."""
    from hotbandd.cli import report as command

    command.report_command(days=days, min_trades=min_trades, out=out, as_json=as_json, env_file=env_file)


@app.command()
def snapshot(as_json: Json = False, env_file: EnvFile = None) -> None:
    """Write account, open trades, allocation and gates of one moment below docs/reports/snapshots."""
    from hotbandd.cli import snapshot as command

    command.snapshot(env_file, as_json=as_json)


@app.command()
def status(as_json: Json = False, env_file: EnvFile = None) -> None:
    """Show gates, weights and who leads, from Valkey alone; exit 4 if something is missing or old."""
    from hotbandd.cli import state

    state.status(env_file, as_json=as_json)


@app.command()
def watch(
    once: Annotated[bool, typer.Option("--once", help="Print one frame, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the page as one JSON line, then a line for each change.")
    ] = False,
    env_file: EnvFile = None,
) -> None:
    """Watch gates, metrics and weights live, from Valkey alone; q ends it. One frame where the output is no terminal."""
    from hotbandd.cli import watch as command

    command.watch(env_file, once=once, as_json=as_json)


@app.command()
def schema(
    name: Annotated[str | None, typer.Argument(help="A name of the list, or a key, channel or file.")] = None,
    as_json: Json = False,
) -> None:
    """Print the JSON Schema of a payload, or list them; openapi and asyncapi describe all pages and all channels."""
    from hotbandd.cli import schema as command

    command.schema_command(name, as_json=as_json)


@kill.command("status")
def kill_status(as_json: Json = False, env_file: EnvFile = None) -> None:
    """Show the kill switch."""
    from hotbandd.cli import state

    state.kill_status(env_file, as_json=as_json)


@kill.command("engage")
def kill_engage(env_file: EnvFile = None) -> None:
    """Engage the kill switch: weights freeze and let go, none rises."""
    from hotbandd.cli import state

    state.kill_set(env_file, engaged=True)


@kill.command("release")
def kill_release(env_file: EnvFile = None) -> None:
    """Release the kill switch."""
    from hotbandd.cli import state

    state.kill_set(env_file, engaged=False)


@app.command()
def explain(
    instrument: Annotated[str, typer.Argument(help="For example EUR_USD.")],
    at: Annotated[str | None, typer.Option(help="A time in ISO form (UTC): replay the candles up to it.")] = None,
    candles: Annotated[Path | None, typer.Option(help="Folder of candle files, instead of Valkey.")] = None,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Say why a gate is open or shut, now or at another time, and what has to happen for it to flip."""
    from hotbandd.cli import explain as command

    command.explain_command(instrument, at, candles, env_file, as_json=as_json)


@app.command()
def doctor(as_json: Json = False, env_file: EnvFile = None) -> None:
    """Look at settings, Valkey, OANDA, candles, manifolds, gates, disk; say what to do; exit 4 if something is wrong."""
    from hotbandd.cli import doctor as command

    command.doctor(env_file, as_json=as_json)


@app.command("check-config")
def check_config(as_json: Json = False, env_file: EnvFile = None) -> None:
    """Check the settings, and show each one with where it comes from."""
    from hotbandd.cli import configuration

    configuration.check_config(env_file, as_json=as_json)


@app.command()
def reload(env_file: EnvFile = None) -> None:
    """Check the settings, then have the running daemon read them again."""
    from hotbandd.cli import configuration

    configuration.reload(env_file)


@app.command()
def promote(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Put the winners of trials in force: config/live_params.yaml, the previous one kept as .bak."""
    from hotbandd.cli import promote as command

    command.promote(env_file, dry_run=dry_run, as_json=as_json)


@app.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Write the promoted global parameters into .env.hotband, all else there as it was."""
    from hotbandd.cli import promote as command

    command.apply(env_file, dry_run=dry_run, as_json=as_json)


@app.command()
def deploy(
    spec: Annotated[Path | None, typer.Option(help="What to try, instead of config/experiments/nightly.yaml.")] = None,
    days: Annotated[
        int | None, typer.Option(help="Back-fill so many days, instead of CANDLE_COUNT candles.", min=1)
    ] = None,
    min_trades: Annotated[int, typer.Option(help="Trades that a winner needs.", min=0)] = 5,
    as_json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Warm up, try, report, promote, apply and reload, as the settings ask; stop at the first fault, the kill switch engaged."""
    from hotbandd.cli import deploy as command

    command.deploy_command(spec=spec, days=days, min_trades=min_trades, as_json=as_json, env_file=env_file)
