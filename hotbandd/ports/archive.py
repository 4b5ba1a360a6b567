"""What one-shot operations keep and read beside the state of the loops.

Nothing here is fenced: all of it is idempotent, and none of it decides what may be traded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from hotbandd.core.documents import Manifold, Signal
from hotbandd.core.listing import Trial
from hotbandd.core.trial_documents import BestConfig, LiveConfigChanged, ReportDocument, TrialRun, TrialTrades


class SignalArchive(Protocol):
    """Signals, daily manifolds and the newest manifold, as a warm-up writes them.

    Raises StoreUnreachableError where the server does not answer in time, CorruptPayloadError where a value cannot be read.
    """

    async def put_signals(self, instrument: str, signals: Sequence[Signal]) -> None:
        """Write signals and list them; those older than their retention are left out and trimmed."""
        ...

    async def newest_signal(self, instrument: str) -> int | None:
        """Return the stamp of the newest listed signal, ms."""
        ...

    async def put_day(self, instrument: str, day: str, packed: bytes) -> None:
        """Keep the manifold document of a day, ``YYYY-MM-DD``, gzip JSON."""
        ...

    async def day(self, instrument: str, day: str) -> bytes | None:
        """Return the manifold document of a day, JSON."""
        ...

    async def hydrate(self, document: Manifold) -> bool:
        """Write a newest manifold and send it, unless one as late is there; return whether it was written."""
        ...


class TrialArchive(Protocol):
    """Runs of trials and what was made of them. Raises as SignalArchive does."""

    async def lock(self, holder: str) -> bool:
        """Take the right to run trials for a minute, or prolong one's own; return whether it is held now."""
        ...

    async def unlock(self, holder: str) -> None:
        """Give the right up, if it is still held."""
        ...

    async def begin(self, spec: str, now: int) -> None:
        """Note when a run of a spec begins."""
        ...

    async def started(self, spec: str) -> int | None:
        """Return when the run of a spec began that did not end."""
        ...

    async def finished(self, spec: str) -> set[str]:
        """Return the ids of the packs of a spec's finished combinations."""
        ...

    async def complete(self, spec: str) -> None:
        """Forget which combinations of a spec are finished: the next run of it begins anew."""
        ...

    async def put_pack(self, spec: str, runs: Sequence[TrialRun]) -> None:
        """Store runs of one trial as a pack, named as the first of them, and note their combinations as finished, at once."""
        ...

    async def packed(self, pack_ids: Iterable[str]) -> list[TrialRun]:
        """Return the runs of packs; corrupt and expired ones are left out."""
        ...

    async def put_runs(self, runs: Sequence[TrialRun]) -> None:
        """Store runs one by one, and list them, for whoever looks for the best."""
        ...

    async def put_trades(self, trades: TrialTrades) -> None:
        """Store the trades of a run."""
        ...

    async def listed(self, since_ms: int) -> Mapping[str, Sequence[Trial]]:
        """Return the trials since a moment by instrument, in alphabetical order, those of each from the newest to the oldest.

        Names that are none of a run's are left out. A trial that ran again is listed as it ran last.
        """
        ...

    async def runs(self, trial: Trial) -> list[TrialRun]:
        """Return the runs of a trial by their ``param_key``; corrupt and expired ones, and those of another trial, are left out."""
        ...

    async def trades(self, run_id: str) -> TrialTrades | None:
        """Return the trades of a run."""
        ...

    async def put_best(self, config: BestConfig) -> None:
        """Store the best configuration of an instrument, or of all."""
        ...

    async def best(self, name: str) -> BestConfig | None:
        """Return the best configuration of an instrument, or GLOBAL."""
        ...

    async def put_report(self, report: ReportDocument) -> None:
        """Store the newest report."""
        ...

    async def report(self) -> ReportDocument | None:
        """Return the newest report."""
        ...

    async def announce(self, change: LiveConfigChanged) -> None:
        """Tell whoever listens that an instrument's parameters were promoted."""
        ...
