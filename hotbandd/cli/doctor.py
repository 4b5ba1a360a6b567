"""``hotbandd doctor``."""

from __future__ import annotations

import os
import platform
import shutil
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from hotbandd import parts
from hotbandd.cli import common
from hotbandd.cli.snapshot import broker
from hotbandd.cli.state import daemon_now
from hotbandd.errors import HotbandError, SettingsError, UnhealthyError
from hotbandd.operations import doctor as operation
from hotbandd.operations.doctor import Check, Disk, Doctor
from hotbandd.settings import Settings

LIBRARIES = ("hotband", "numpy", "scipy", "redis", "msgspec", "httpx")
_STYLES = {"ok": "green", "warning": "yellow", "fault": "red"}


def doctor(env_file: Path | None, *, as_json: bool) -> None:
    """Look at everything; raise UnhealthyError where something is wrong."""
    try:
        settings = common.settings(env_file, source_needed=True, level="error")
    except SettingsError as error:
        found = [_versions(), Check("settings", "fault", "wrong", str(error))]
    else:
        found = common.run(lambda: checks(settings))
    if as_json:
        common.print_json({"healthy": operation.healthy(found), "checks": found})
    else:
        _show(found)
    if not operation.healthy(found):
        count = sum(check.state == "fault" for check in found)
        raise UnhealthyError(f"{count} of {len(found)} checks found a fault; the table says what to do.")


async def checks(settings: Settings) -> list[Check]:
    """Look at everything, with good settings."""
    return [
        _versions(),
        Check("settings", "ok", f"{len(settings.pairs)} instruments, source {settings.source}"),
        operation.judged_disk(settings.home, _disk(Path(settings.home))),
        *await _outside(settings),
    ]


async def _outside(settings: Settings) -> list[Check]:
    async with AsyncExitStack() as stack:
        try:
            store, server, signals = await stack.enter_async_context(common.server(settings))
        except HotbandError as error:
            return [Check("valkey", "fault", "not reachable", str(error))]
        known = settings.oanda_api_key is not None and settings.oanda_account_id is not None
        account = await stack.enter_async_context(broker(settings)) if known else None
        built = Doctor(
            pairs=settings.pairs,
            granularity=settings.candle_gran,
            days=settings.candle_retention_days,
            gates_max_age_sec=settings.gates_blob_max_age_sec,
            calendar=parts.calendar(settings),
            store=store,
            server=server,
            signals=signals,
            broker=account,
            skew_sec=lambda: account.skew_sec if account else None,
        )
        return await built.run(await _now(built))


async def _now(built: Doctor) -> int:
    try:
        return await daemon_now(built.store)
    except HotbandError:
        return common.wall_ms()


def _versions() -> Check:
    found = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return Check("versions", "ok", f"Python {platform.python_version()}, {found}")


def _disk(home: Path) -> Disk:
    try:
        free = shutil.disk_usage(home).free
    except OSError as error:
        return Disk(0, f"{home}: {error.strerror}")
    return Disk(free, None if os.access(home, os.W_OK) else f"{home.absolute()} cannot be written to")


def _show(checks: list[Check]) -> None:
    table = Table("check", "state", "found", "what to do")
    for check in checks:
        table.add_row(check.name, f"[{_STYLES[check.state]}]{check.state}[/]", check.found, check.advice)
    common.console().print(table)
