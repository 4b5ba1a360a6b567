"""``hotbandd run``."""

from __future__ import annotations

import os
from pathlib import Path

from hotbandd import daemon
from hotbandd.adapters.systemd import service_manager
from hotbandd.cli import common
from hotbandd.settings import read_settings


def run(env_file: Path | None) -> None:
    """Run the daemon."""
    settings = common.settings(env_file, source_needed=True)
    plan = daemon.Plan(
        settings,
        reread=lambda: read_settings(env_file, source_needed=True).settings,
        manager=service_manager(os.environ),
    )
    common.run(lambda: daemon.run(plan))
