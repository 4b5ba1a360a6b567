"""Recorded candles: held in memory, or read from a directory of files, one or more per instrument."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np

from hotbandd.core.candle_files import ordered, read_candles
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Checked, check, concatenate
from hotbandd.errors import CandleInputError, RefusedError
from hotbandd.ports import Page

PAGE_MS = 3 * DAY_MS
_FILE = re.compile(r"([A-Z0-9]{2,12}_[A-Z0-9]{2,12})(?![A-Z0-9]).*\.(?:csv|json|jsonl)(?:\.gz)?")


class HeldSource:
    """Candles that are held already. Raises RefusedError for an instrument that has none."""

    name = "held"

    def __init__(self, held: Mapping[str, Candles]) -> None:
        self._held = dict(held)

    async def whole(self, instrument: str) -> Candles:
        """Return all candles of an instrument."""
        if instrument not in self._held:
            raise RefusedError(f"There are no candles of {instrument}.")
        return self._held[instrument]

    async def bounds(self, instrument: str) -> tuple[int, int]:
        """Return the open of the first candle and the close of the last. Raises CandleInputError where there is none."""
        candles = await self.whole(instrument)
        if not candles.size:
            raise CandleInputError(f"There is no usable candle of {instrument}.")
        return int(candles.t[0]), int(candles.t[-1]) + MINUTE_MS

    async def fetch(self, instrument: str, start_ms: int, end_ms: int) -> AsyncIterator[Page]:
        """Iterate over pages of the candles that open at or after the start and close by the end."""
        candles = (await self.whole(instrument)).between(start_ms, end_ms).closed_by(end_ms)
        refused = self._refusals(instrument)
        if refused and not candles.size:
            yield Page(candles, refused)
        while candles.size:
            size = int(np.searchsorted(candles.t, int(candles.t[0]) + PAGE_MS))
            yield Page(candles.take(slice(0, size)), refused)
            candles, refused = candles.take(slice(size, None)), {}

    def _refusals(self, instrument: str) -> Mapping[str, int]:
        """Return what was refused of an instrument and not told yet."""
        del instrument
        return {}

    async def aclose(self) -> None:
        """Forget what is held."""
        self._held.clear()


class ReplaySource(HeldSource):
    """Candles of the files ``{INST}*.csv``, ``.json`` and ``.jsonl``, plain or ``.gz``, in one directory.

    An instrument's files are read at its first use, once, in a worker thread. What was refused while reading is
    counted on the first page after that. Raises CandleInputError for a file that cannot be used, RefusedError for an instrument
    that has none.
    """

    name = "replay"

    def __init__(self, directory: Path) -> None:
        super().__init__({})
        self._directory = directory
        self._refused: dict[str, Mapping[str, int]] = {}
        self._loading = anyio.Lock()

    async def instruments(self) -> list[str]:
        """Return the instruments that have files, sorted."""
        return sorted(await anyio.to_thread.run_sync(_files, self._directory))

    async def whole(self, instrument: str) -> Candles:
        """Return all candles of an instrument."""
        async with self._loading:
            if instrument not in self._held:
                loaded = await anyio.to_thread.run_sync(_load, self._directory, instrument)
                self._held[instrument], self._refused[instrument] = loaded
            return self._held[instrument]

    def _refusals(self, instrument: str) -> Mapping[str, int]:
        return self._refused.pop(instrument, {})


def _files(directory: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    try:
        for path in sorted(directory.iterdir()):
            match = _FILE.fullmatch(path.name)
            if match:
                files.setdefault(match[1], []).append(path)
    except OSError as fault:
        raise CandleInputError(
            f"{directory} cannot be read ({fault.strerror}); name a directory of candle files."
        ) from fault
    return files


def _load(directory: Path, instrument: str) -> Checked:
    paths = _files(directory).get(instrument)
    if not paths:
        raise RefusedError(
            f"There are no candles of {instrument} in {directory}; put a file {instrument}_M1.csv there."
        )
    parts = [_read(path) for path in paths]
    refused: Counter[str] = Counter()
    for part in parts:
        refused.update(part.refused)
    joined = concatenate(part.candles for part in parts)
    joined = joined.take(np.argsort(joined.t, kind="stable"))
    ordered(joined, first_row=1, name=f"The files of {instrument} taken together")
    kept, again = check(joined)
    return Checked(kept, dict(refused + Counter(again)))


def _read(path: Path) -> Checked:
    try:
        return read_candles(path.read_bytes(), str(path))
    except OSError as fault:
        raise CandleInputError(f"{path} cannot be read ({fault.strerror}).") from fault
