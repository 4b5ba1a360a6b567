"""``hotbandd run``."""

from __future__ import annotations

from pathlib import Path

from hotbandd import daemon
from hotbandd.cli import common
from hotbandd.settings import read_settings


def run(env_file: Path | None) -> None:
    """Run the daemon."""
    settings = common.settings(env_file, source_needed=True)
    common.run(
        lambda: daemon.run(daemon.Plan(settings, reread=lambda: read_settings(env_file, source_needed=True).settings))
    )
