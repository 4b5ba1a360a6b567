"""What the commands share: settings, logs, a store, and one way to run something asynchronous."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import anyio
import msgspec
import typer
from rich.console import Console

from hotbandd.core.live_params import Overlays
from hotbandd.errors import InputError, SettingsError, StoreUnreachableError, UsageError, first_of
from hotbandd.ports import Server, SignalArchive, Store
from hotbandd.settings import Loaded, Settings, read_settings

T = TypeVar("T")


def settings(env_file: Path | None, *, source_needed: bool = False, level: str | None = None) -> Settings:
    """Load the settings, set the logs up, and say what should be known. Raises SettingsError."""
    return loaded(env_file, source_needed=source_needed, level=level).settings


def loaded(env_file: Path | None, *, source_needed: bool = False, level: str | None = None) -> Loaded:
    """Do as ``settings`` does, and tell where each of them comes from as well."""
    from hotbandd.adapters.log import configure

    found = read_settings(env_file, source_needed=source_needed)
    chosen = found.settings
    configure(level or chosen.log_level, chosen.log_format, interactive=sys.stderr.isatty(), secrets=chosen.secrets())
    warn(found)
    return found


def warn(loaded: Loaded) -> None:
    """Say what should be known about the settings."""
    for warning in loaded.warnings:
        with suppress(OSError):  # nobody can be told where the disk is full; that is no reason not to go on
            typer.echo(f"hotbandd: {warning}", err=True)


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run something asynchronous on uvloop; of several errors at once, raise the first one of ours."""
    try:
        return anyio.run(main, backend_options={"use_uvloop": True})
    except BaseExceptionGroup as group:
        ours = first_of(group)
        if ours is None:
            raise
        raise ours from group


@asynccontextmanager
async def store(chosen: Settings) -> AsyncIterator[Store]:
    """Open the store of the settings; where it would be an embedded one, only one that runs already."""
    async with server(chosen) as (opened, _, _):
        yield opened


@asynccontextmanager
async def server(chosen: Settings) -> AsyncIterator[tuple[Store, Server, SignalArchive]]:
    """Open the store with what else its server tells; an embedded one only where it runs already."""
    from hotbandd import parts
    from hotbandd.adapters.embedded_valkey import running
    from hotbandd.adapters.store.documents import DocumentStore
    from hotbandd.adapters.store.opening import backend_at
    from hotbandd.adapters.store.server import ValkeyServer
    from hotbandd.adapters.store.signals import ValkeySignals

    url = chosen.valkey_url or await running(Path(chosen.home))
    if url is None:
        home = Path(chosen.home).absolute()
        raise StoreUnreachableError(
            f"No Valkey runs for {home}; start hotbandd run there, set HOTBAND_HOME to where it runs, or set VALKEY_URL."
        )
    backend, ages = backend_at(url), parts.ages(chosen)
    try:
        yield DocumentStore(backend, ages), ValkeyServer(backend), ValkeySignals(backend, ages)
    finally:
        await backend.aclose()


def live_params(chosen: Settings) -> Overlays:
    """Read the parameters in force where they differ from the settings. Raises SettingsError."""
    from hotbandd.adapters import strategies
    from hotbandd.adapters.live_params import FileParams

    try:
        return anyio.run(FileParams(Path(chosen.home), strategies.rules()).read)
    except InputError as error:
        raise SettingsError(str(error)) from error


def wall_ms() -> int:
    """Return the moment by the real clock, UTC epoch ms."""
    return time.time_ns() // 1_000_000


def moment(text: str, option: str) -> int:
    """Parse a day, or a time such as 2018-03-05T12:30, both UTC unless an offset says otherwise, into UTC epoch ms. Raises UsageError."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} must be a day such as 2018-03-05, or a time such as 2018-03-05T12:30 (UTC), not {text!r}."
        ) from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)


def moment_text(moment_ms: int) -> str:
    """Return a moment as people write it, UTC."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def console() -> Console:
    """Return the console for tables; wide where it is no terminal, so that nothing is cut."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    typer.echo(msgspec.json.encode(value))
