"""What one-shot operations work with, opened together and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hotbandd import daemon, parts
from hotbandd.adapters import metrics
from hotbandd.adapters.embedded_valkey import embedded
from hotbandd.adapters.files import FolderArtifacts
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.opening import backend_at
from hotbandd.adapters.store.signals import ValkeySignals
from hotbandd.adapters.store.trials import ValkeyTrials
from hotbandd.cli import common
from hotbandd.core.sessions import Calendar
from hotbandd.ports import Artifacts, CandleSource, Compute, SignalArchive, Store, TrialArchive
from hotbandd.settings import Settings


@dataclass(frozen=True)
class Workbench:
    """The outside systems of an operation."""

    settings: Settings
    calendar: Calendar
    store: Store
    signals: SignalArchive
    trials: TrialArchive
    artifacts: Artifacts
    compute: Compute
    source: CandleSource | None


@asynccontextmanager
async def workbench(settings: Settings, *, source: bool = False) -> AsyncIterator[Workbench]:
    """Open the outside; an embedded server is joined, or started for as long as this lasts. Raises HotbandError."""
    calendar = parts.calendar(settings)
    async with AsyncExitStack() as stack:
        chosen = daemon.candle_source(settings, metrics.telemetry(common.wall_ms)) if source else None
        if chosen is not None:
            stack.push_async_callback(chosen.aclose)
        url = settings.valkey_url
        if url is None:
            url = await stack.enter_async_context(embedded(Path(settings.home)))
        backend, ages = backend_at(url), parts.ages(settings)
        store = DocumentStore(backend, ages)
        stack.push_async_callback(store.aclose)
        await store.ping()
        compute = daemon.compute_of(settings)
        stack.push_async_callback(compute.aclose)
        yield Workbench(
            settings=settings,
            calendar=calendar,
            store=store,
            signals=ValkeySignals(backend, ages),
            trials=ValkeyTrials(backend),
            artifacts=FolderArtifacts(Path(settings.home)),
            compute=compute,
            source=chosen,
        )
