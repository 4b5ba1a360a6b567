"""Runs of trials, best configurations and reports, in Valkey."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count, islice
from typing import TypeVar

from anyio.lowlevel import checkpoint

from hotbandd.adapters.store import keys, scripts
from hotbandd.adapters.store.codec import decode
from hotbandd.adapters.store.valkey import ValkeyBackend, Word
from hotbandd.core import listing
from hotbandd.core.documents import encode
from hotbandd.core.listing import Trial
from hotbandd.core.trial_documents import (
    BestConfig,
    LiveConfigChanged,
    ReportDocument,
    TrialPack,
    TrialRun,
    TrialTrades,
)
from hotbandd.errors import CorruptPayloadError

PART = 100  # runs, or packs of them, written or read in one step
PAGE = 10_000  # names listed in one step
PACK_BYTES = 100_000_000
GZIP_LEVEL = 3
_GZIP = 31  # zlib's word for the format of gzip

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
        """Return the ids of the packs of a spec's finished combinations."""
        return {name for name in await self._members(spec) if not name.startswith(_BEGAN)}

    async def _members(self, spec: str) -> set[str]:
        key = keys.trial_progress(spec)
        return {name.decode(errors="replace") for name in await self._backend.ask(key, self._client.smembers(key))}

    async def complete(self, spec: str) -> None:
        """Forget which combinations of a spec are finished: the next run of it begins anew."""
        key = keys.trial_progress(spec)
        await self._backend.ask(key, self._client.delete(key))

    async def put_pack(self, spec: str, runs: Sequence[TrialRun]) -> None:
        """Store runs of one trial as a pack, and note their combinations as finished, at once, or in this order."""
        pack_id, ts, progress = runs[0].run_id, max(run.ts for run in runs), keys.trial_progress(spec)
        value = gzip.compress(encode(TrialPack(runs=list(runs))), GZIP_LEVEL, mtime=0)
        await self._backend.write(
            [
                [("SET", keys.trial_pack(pack_id), value, "PX", keys.TRIALS_MS)],
                _listing(keys.TRIAL_PACKS, {pack_id: ts}),
                [("SADD", progress, pack_id), ("PEXPIRE", progress, keys.TRIALS_MS)],
            ]
        )

    async def packed(self, pack_ids: Iterable[str]) -> list[TrialRun]:
        """Return the runs of packs; corrupt and expired ones are left out."""
        found: list[TrialRun] = []
        for part in _parts(list(pack_ids)):
            names = [keys.trial_pack(pack_id) for pack_id in part]
            for name, raw in zip(names, await self._backend.get_all(names), strict=True):
                with suppress(CorruptPayloadError):
                    pack = decode(name, _inflated(name, raw), TrialPack)
                    found += [] if pack is None else pack.runs
                await checkpoint()
        return found

    async def put_runs(self, runs: Sequence[TrialRun]) -> None:
        """Store runs one by one, and list them; each part of them at once, or in this order."""
        for part in _parts(runs):
            values = [("SET", keys.trial_run(run.run_id), encode(run), "PX", keys.TRIALS_MS) for run in part]
            await self._backend.write([values, _listing(keys.TRIAL_INDEX, {run.run_id: run.ts for run in part})])
            await checkpoint()

    async def put_trades(self, trades: TrialTrades) -> None:
        """Store the trades of a run."""
        await self._backend.set(keys.trial_trades(trades.run_id), encode(trades), life_ms=keys.TRIALS_MS)

    async def listed(self, since_ms: int) -> dict[str, list[Trial]]:
        """Return the trials since a moment by instrument, in alphabetical order, those of each from the newest to the oldest."""
        packs, alone = await self._moments(keys.TRIAL_PACKS, since_ms), await self._moments(keys.TRIAL_INDEX, since_ms)
        return listing.by_instrument(packs, alone)

    async def runs(self, trial: Trial) -> list[TrialRun]:
        """Return the runs of a trial by their ``param_key``; corrupt and expired ones, and those of another trial, are left out.

        Of those that stand alone, which are copies of packed ones, only what no pack holds any more is read.
        """
        found = {run.run_id: run for run in await self.packed(trial.packs) if trial.holds(run)}
        missing = [run_id for run_id in trial.alone if run_id not in found]
        found |= {run.run_id: run for run in await self._alone(missing) if trial.holds(run)}
        return sorted(found.values(), key=lambda run: (run.param_key, run.run_id))

    async def _alone(self, run_ids: Sequence[str]) -> list[TrialRun]:
        found: list[TrialRun] = []
        for part in _parts(run_ids):
            names = [keys.trial_run(run_id) for run_id in part]
            values = await self._backend.get_all(names)
            found += [run for name, raw in zip(names, values, strict=True) if (run := _run(name, raw)) is not None]
            await checkpoint()
        return found

    async def _moments(self, key: str, since_ms: int) -> dict[str, int]:
        """Return what an index lists since a moment, page by page.

        From the newest on, as what is listed meanwhile comes before it: a page may tell a name again, and misses none.
        """
        found: dict[str, int] = {}
        page: list[tuple[bytes, float]] = []
        for first in count(0, PAGE):
            page = await self._backend.ask(key, self._client.zrevrange(key, first, first + PAGE - 1, withscores=True))
            for name, ts in page:
                if ts >= since_ms and ts.is_integer():
                    found.setdefault(name.decode(errors="replace"), int(ts))
            if len(page) < PAGE or page[-1][1] < since_ms:
                break
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


def _listing(index: str, moments: Mapping[str, int]) -> list[tuple[Word, ...]]:
    """Return what lists names at their moments, and forgets those of long ago."""
    words = [word for name, ts in moments.items() for word in (ts, name)]
    oldest = max(moments.values()) - keys.TRIALS_MS
    return [("ZADD", index, *words), ("ZREMRANGEBYSCORE", index, "-inf", f"({oldest}")]


def _inflated(key: str, raw: bytes | None) -> bytes | None:
    if raw is None:
        return None
    unpacking = zlib.decompressobj(wbits=_GZIP)
    try:
        found = unpacking.decompress(raw, PACK_BYTES)
    except zlib.error as error:
        raise CorruptPayloadError(key, "not gzip") from error
    if not unpacking.eof:
        raise CorruptPayloadError(key, "cut off, or larger than any pack")
    return found


def _run(key: str, raw: bytes | None) -> TrialRun | None:
    try:
        return decode(key, raw, TrialRun)
    except CorruptPayloadError:
        return None


def _parts(items: Sequence[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, PART)):
        yield part
