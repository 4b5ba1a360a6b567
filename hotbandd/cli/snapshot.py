"""``hotbandd snapshot``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import typer

from hotbandd.adapters.files import FolderArtifacts
from hotbandd.adapters.oanda import OandaSource
from hotbandd.cli import common
from hotbandd.errors import SettingsError
from hotbandd.operations.snapshot import Snapshot
from hotbandd.settings import Settings


def snapshot(env_file: Path | None, *, as_json: bool) -> None:
    """Write a snapshot, and name its files."""
    settings = common.settings(env_file, level="warning")

    async def work() -> list[Path]:
        async with broker(settings) as account, common.store(settings) as store:
            artifacts = FolderArtifacts(Path(settings.home))
            return await Snapshot(account, store, artifacts, settings.snapshot_retention_days).run(common.wall_ms())

    written = [str(path) for path in common.run(work)]
    if as_json:
        common.print_json({"files": written})
    else:
        for path in written:
            typer.echo(path)


@asynccontextmanager
async def broker(settings: Settings) -> AsyncIterator[OandaSource]:
    """Open the account. Raises SettingsError without a token or account."""
    if settings.oanda_api_key is None or settings.oanda_account_id is None:
        raise SettingsError(
            "A snapshot needs the account: set OANDA_API_KEY (or OANDA_API_KEY_FILE) and OANDA_ACCOUNT_ID."
        )
    opened = OandaSource(
        settings.oanda_api_key.reveal(), settings.oanda_environment, account_id=settings.oanda_account_id
    )
    try:
        yield opened
    finally:
        await opened.aclose()
