"""What a test reads from an archive of trials as a whole."""

from __future__ import annotations

from hotbandd.core.trial_documents import TrialRun
from hotbandd.ports import TrialArchive


async def all_runs(archive: TrialArchive, since_ms: int = 0) -> list[TrialRun]:
    """Return the runs of all trials since a moment, ascending, each as it ran last."""
    found: dict[str, TrialRun] = {}
    for trials in (await archive.listed(since_ms)).values():
        for trial in reversed(trials):
            found |= {run.run_id: run for run in await archive.runs(trial)}
    return sorted(found.values(), key=lambda run: (run.ts, run.run_id))
