"""``hotbandd check-config`` and ``reload``."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import typer

from hotbandd import parts
from hotbandd.adapters.pid_file import running_pid
from hotbandd.cli import common
from hotbandd.errors import UnhealthyError
from hotbandd.settings import TABLE, Loaded, read_settings


def check_config(env_file: Path | None, *, as_json: bool) -> None:
    """Check the settings, and show each one with where it comes from."""
    loaded = _checked(env_file)
    shown = loaded.settings.shown()
    rows = [{"name": name, "value": value, "from": loaded.sources[name]} for name, value in shown.items()]
    if as_json:
        common.print_json({"settings": rows, "warnings": loaded.warnings})
        return
    common.warn(loaded)
    width = max(map(len, shown))
    for row in rows:
        origin = "" if row["from"] == "default" else f"  ({row['from']})"
        typer.echo(f"{row['name']:{width}}  {row['value']}{origin}")
    typer.echo(f"All {len(TABLE)} settings are good.")


def reload(env_file: Path | None) -> None:
    """Check the settings, then have the running daemon read them again."""
    loaded = _checked(env_file)
    home = Path(loaded.settings.home)
    pid = running_pid(home)
    if pid is None:
        raise UnhealthyError(
            f"No daemon runs in {home.absolute()}; set HOTBAND_HOME to where it runs, or start hotbandd run."
        )
    os.kill(pid, signal.SIGHUP)
    typer.echo(f"The daemon {pid} reads its settings again; its log says daemon.reloaded.")


def _checked(env_file: Path | None) -> Loaded:
    loaded = read_settings(env_file, source_needed=True)
    parts.calendar(loaded.settings)
    parts.evaluator(loaded.settings)
    common.live_params(loaded.settings)
    return loaded
