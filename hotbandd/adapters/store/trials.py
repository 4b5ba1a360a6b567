"""Runs of trials, best configurations and reports, in Valkey."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from anyio.lowlevel import checkpoint

from hotbandd.adapters.store import keys, scripts
from hotbandd.adapters.store.codec import decode
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core.documents import encode
from hotbandd.core.trial_documents import BestConfig, LiveConfigChanged, ReportDocument, TrialRun, TrialTrades
from hotbandd.errors import CorruptPayloadError

PART = 100  # runs written or read in one step

_BEGAN = "@"  # before the moment at which a run began, among the names of finished combinations

T = TypeVar("T")


class ValkeyTrials:
    """The TrialArchive port over a connection to Valkey."""

    def __init__(self, backend: ValkeyBackend) -> None:
        self._backend = backend
        self._client = backend.client
        self._prolong = backend.client.register_script(scripts.PROLONG)
        self._release = backend.client.register_script(scripts.RELEASE)

    async def lock(self, holder: str) -> bool:
        """Take the right to run trials for a minute, or prolong one's own; return whether it is held now."""
        key, life_ms = keys.TRIAL_LOCK, keys.TRIAL_LOCK_MS
        if await self._backend.ask(key, self._client.set(key, holder, nx=True, px=life_ms)):
            return True
        return bool(await self._backend.ask(key, self._prolong([key], [holder, life_ms])))

    async def unlock(self, holder: str) -> None:
        """Give the right up, if it is still held."""
        await self._backend.ask(keys.TRIAL_LOCK, self._release([keys.TRIAL_LOCK], [holder]))

    async def begin(self, spec: str, now: int) -> None:
        """Note when a run of a spec begins."""
        key = keys.trial_progress(spec)
        await self._backend.write([[("SADD", key, f"{_BEGAN}{now}")], [("PEXPIRE", key, keys.TRIALS_MS)]])

    async def started(self, spec: str) -> int | None:
        """Return when the run of a spec began that did not end."""
        moments = [name.removeprefix(_BEGAN) for name in await self._members(spec) if name.startswith(_BEGAN)]
        return max((int(moment) for moment in moments if moment.isdecimal()), default=None)

    async def finished(self, spec: str) -> set[str]:
        """Return the names of a spec's finished combinations."""
        return {name for name in await self._members(spec) if not name.startswith(_BEGAN)}

    async def _members(self, spec: str) -> set[str]:
        key = keys.trial_progress(spec)
        return {name.decode(errors="replace") for name in await self._backend.ask(key, self._client.smembers(key))}

    async def complete(self, spec: str) -> None:
        """Forget which combinations of a spec are finished: the next run of it begins anew."""
        key = keys.trial_progress(spec)
        await self._backend.ask(key, self._client.delete(key))

    async def put_runs(self, spec: str, runs: Mapping[str, TrialRun]) -> None:
        """Store runs, list them, and note their combinations as finished; each part of them at once, or in this order."""
        for part in _parts(list(runs.items())):
            progress, newest = keys.trial_progress(spec), max(run.ts for _, run in part)
            values = [("SET", keys.trial_run(run.run_id), encode(run), "PX", keys.TRIALS_MS) for _, run in part]
            listed = [word for _, run in part for word in (run.ts, run.run_id)]
            index = [
                ("ZADD", keys.TRIAL_INDEX, *listed),
                ("ZREMRANGEBYSCORE", keys.TRIAL_INDEX, "-inf", f"({newest - keys.TRIALS_MS}"),
            ]
            done = [("SADD", progress, *(name for name, _ in part))]
            await self._backend.write([values, index, done, [("PEXPIRE", progress, keys.TRIALS_MS)]])
            await checkpoint()

    async def put_trades(self, trades: TrialTrades) -> None:
        """Store the trades of a run."""
        await self._backend.set(keys.trial_trades(trades.run_id), encode(trades), life_ms=keys.TRIALS_MS)

    async def runs(self, since_ms: int) -> list[TrialRun]:
        """Return the listed runs since a moment, ascending; corrupt and expired ones are left out."""
        key = keys.TRIAL_INDEX
        listed: list[bytes] = await self._backend.ask(key, self._client.zrangebyscore(key, since_ms, "+inf"))
        found: list[TrialRun] = []
        for part in _parts(listed):
            names = [keys.trial_run(run_id.decode(errors="replace")) for run_id in part]
            values = await self._backend.get_all(names)
            found += [run for name, raw in zip(names, values, strict=True) if (run := _run(name, raw)) is not None]
            await checkpoint()
        return found

    async def trades(self, run_id: str) -> TrialTrades | None:
        """Return the trades of a run."""
        key = keys.trial_trades(run_id)
        return decode(key, await self._backend.get(key), TrialTrades)

    async def put_best(self, config: BestConfig) -> None:
        """Store the best configuration of an instrument, or of all."""
        await self._backend.set(keys.best_config(config.instrument), encode(config), life_ms=keys.BEST_MS)

    async def best(self, name: str) -> BestConfig | None:
        """Return the best configuration of an instrument, or GLOBAL."""
        key = keys.best_config(name)
        return decode(key, await self._backend.get(key), BestConfig)

    async def put_report(self, report: ReportDocument) -> None:
        """Store the newest report."""
        await self._backend.set(keys.REPORT, encode(report), life_ms=keys.BEST_MS)

    async def report(self) -> ReportDocument | None:
        """Return the newest report."""
        return decode(keys.REPORT, await self._backend.get(keys.REPORT), ReportDocument)

    async def announce(self, change: LiveConfigChanged) -> None:
        """Tell whoever listens that an instrument's parameters were promoted."""
        channel = keys.live_config_channel(change.instrument)
        await self._backend.ask(channel, self._client.publish(channel, encode(change)))


def _run(key: str, raw: bytes | None) -> TrialRun | None:
    try:
        return decode(key, raw, TrialRun)
    except CorruptPayloadError:
        return None


def _parts(items: Sequence[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, PART)):
        yield part
