"""Candles in the store: one member per minute while they are recent, one value per day from then on.

What is put goes to the sorted set, and is moved to its packed day in one step of the server, and only if neither changed since they were
read; what is late goes to its packed day likewise. So a candle is always in one place or in both, never in none; where it is in both, the
sorted set has the newer one. Readers look at the sorted set first: what is moved meanwhile they find in the packed day.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterable
from operator import attrgetter
from typing import Final

import msgspec
import numpy as np
import structlog
from anyio.lowlevel import checkpoint

from hotbandd.adapters.store.backend import Backend, Ends, PackDay, Scored
from hotbandd.adapters.store.codec import CHUNK, Members, pages
from hotbandd.adapters.store.keys import CandlePlace, Expiries
from hotbandd.core import packed_day
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candle, Candles, check, concatenate, merge, of_rows
from hotbandd.core.documents import encode
from hotbandd.core.packed_day import PackedDayError
from hotbandd.ports import Page

log = structlog.get_logger()

FIRST_MS: Final = -(2**53)
_LAST_MS: Final = 2**53
AT_ONCE: Final = 8  # days packed with one put, some 5 ms each; the next one goes on
BATCH: Final = 16  # packed days read at a time
_CANDLES: Final = Members(msgspec.json.Decoder(list[Candle]), attrgetter("t"))


class StoredCandles:
    """Puts candles, packs and trims them, and reads them back from wherever they are."""

    def __init__(self, backend: Backend, expiries: Expiries) -> None:
        self._backend = backend
        self._expiries = expiries
        self._packed: dict[CandlePlace, int] = {}  # up to when everything that can be is packed

    async def put(self, place: CandlePlace, candles: Candles) -> None:
        """Store candles, one per minute; pack and trim what is old enough, before the newest stored one."""
        until = self._packed.get(place)
        newest, refused = FIRST_MS, candles.take(slice(0))
        if until is None or not candles.size or candles.t[0] < until:  # a start, a back-fill, a late candle
            newest = max([await self._newest(place), *candles.t[-1:].tolist()])
            until = self._until(place, newest)
            refused = await self._put_late(place, candles.between(newest - self._expiries.candles_kept_ms, until))
            candles = merge(refused, candles.between(until, _LAST_MS))
        if ends := await self._put(place, candles):
            rows, _ = _CANDLES.decode([ends.newest])
            newest = rows[0].t if rows else await self._newest(place)
            if ends.oldest < newest - self._expiries.candles_kept_ms:
                await self._backend.trim(place.recent, newest - self._expiries.candles_kept_ms)
        if newest == FIRST_MS:
            return
        until = self._until(place, newest)
        if (refused.size or self._packed.get(place) != until) and await self._settle(place, newest, until):
            self._packed[place] = until

    async def _put_late(self, place: CandlePlace, late: Candles) -> Candles:
        """Put candles into their packed days; return those whose day could not be packed now."""
        refused = []
        for day in np.unique(late.t // DAY_MS * DAY_MS).tolist():
            part = late.between(day, day + DAY_MS)
            if not await self._pack(place, day, part):
                refused.append(part)
        return concatenate(refused)

    async def _put(self, place: CandlePlace, candles: Candles) -> Ends | None:
        """Put candles into the sorted set; return its ends, if there were any candles."""
        ends = None
        for start in range(0, candles.size, CHUNK):
            chunk = candles.take(slice(start, start + CHUNK))
            ends = await self._backend.put(place.recent, [(encode(row), row.t) for row in chunk.rows()])
            await checkpoint()
        return ends

    async def _newest(self, place: CandlePlace) -> int:
        """Return the newest open time. Foreign members with a wild score do not count: all candles would be trimmed."""
        for limit in (1, CHUNK):
            rows, _ = _CANDLES.decode(await self._backend.newest(place.recent, limit))
            if rows:
                return rows[0].t
        return FIRST_MS

    def _until(self, place: CandlePlace, newest: int) -> int:
        """Return the day before which all days are packed."""
        return _day_of(newest - self._expiries.candles_hot_ms - _spread(place))

    async def _settle(self, place: CandlePlace, newest: int, until: int) -> bool:
        """Pack days before one, unpack those from it on, and drop those that are too old; return whether all of it is done."""
        after = FIRST_MS
        for _ in range(AT_ONCE):
            oldest = await self._backend.range(place.recent, after, until - 1, 1)
            if not oldest:
                break
            day = _day_of(int(oldest[0][1]))
            await self._pack(place, day)
            after = day + DAY_MS
        else:
            return False
        packed = await self._days(place)
        gone = [day for day in packed if day + DAY_MS <= newest - self._expiries.candles_kept_ms]
        if gone:
            await self._backend.drop(place.packed, [_name(day) for day in gone])
        if place not in self._packed:
            await self._unpack(place, [day for day in packed if day >= until])
        return True

    async def _pack(self, place: CandlePlace, day: int, late: Candles | None = None) -> bool:
        """Move a day's members into its packed value, and late candles with them; return whether that was done.

        What is corrupt among the members stays, for the day to be rebuilt.
        """
        members = [member async for member in self._members(place, day)]
        rows, corrupt = _CANDLES.decode(members)
        new = of_rows(rows)
        if corrupt or not (np.diff(new.t) > 0).all():
            log.warning("store.day_not_packed", key=place.recent, day=_name(day), corrupt=corrupt)
            return False
        (old,) = await self._backend.fields(place.packed, [_name(day)])
        found = merge(self._unpacked(place, day, old) or of_rows([]), new)
        value = packed_day.pack(found if late is None else merge(found, late))
        written = [member for member, _ in members]
        done = await self._backend.pack(PackDay(place, _name(day), (day, day + DAY_MS - 1), written, old, value))
        await checkpoint()
        return done

    async def _unpack(self, place: CandlePlace, days: Iterable[int]) -> None:
        """Put days back that are recent by now, as after a change of settings. Their packed values stay until they are packed again."""
        async for day, found in self._read_days(place, days):
            there = [int(score) async for _, score in self._members(place, day)]
            if found is not None:
                await self._put(place, found.take(~np.isin(found.t, there)))

    async def read(self, place: CandlePlace, start_ms: int, end_ms: int) -> Page:
        """Return the stored candles that open in [start, end) and can be true; the others are counted, a corrupt day as one."""
        parts, corrupt = [], 0
        async for rows, bad in pages(self._backend, place.recent, _CANDLES, start_ms, end_ms - 1):
            parts.append(of_rows(rows))
            corrupt += bad
        recent, refused = check(concatenate(parts))
        days = [day for day in await self._days(place) if start_ms < day + DAY_MS and day < end_ms]
        packed = []
        async for _, found in self._read_days(place, days):
            packed.append(of_rows([]) if found is None else found)
            corrupt += found is None
        older = check(concatenate(packed))
        reasons = {*refused, *older.refused}
        counts = {reason: refused.get(reason, 0) + older.refused.get(reason, 0) for reason in reasons}
        candles = merge(older.candles.between(start_ms, end_ms), recent)
        return Page(candles, {**counts, "corrupt": corrupt} if corrupt else counts)

    async def count(self, place: CandlePlace, start_ms: int, end_ms: int) -> int:
        """Return how many candles are stored that open in [start, end), whatever they hold.

        Only days that are packed and have members beside are read, or of which only a part is asked for.
        """
        total = await self._backend.count(place.recent, start_ms, end_ms - 1)
        for day in await self._days(place):
            first, end = max(day, start_ms), min(day + DAY_MS, end_ms)
            if first >= end:
                continue
            (packed,) = await self._backend.fields(place.packed, [_name(day)])
            beside = [int(score) async for _, score in self._members(place, day)]
            if not beside and end - first == DAY_MS:
                total += packed_day.count(packed or b"")
            elif (found := self._unpacked(place, day, packed)) is not None:
                total += int(np.count_nonzero(~np.isin(found.between(first, end).t, beside)))
        return total

    async def _members(self, place: CandlePlace, day: int) -> AsyncIterator[Scored]:
        first, last = day, day + DAY_MS - 1
        while page := await self._backend.range(place.recent, first, last, CHUNK):
            for member in page:
                yield member
            first = int(page[-1][1]) + 1

    async def _days(self, place: CandlePlace) -> list[int]:
        """Return the days that are packed, ascending; what is no day is none of ours."""
        found = (_moment(name) for name in await self._backend.names(place.packed))
        return sorted(day for day in found if day is not None)

    async def _read_days(self, place: CandlePlace, days: Iterable[int]) -> AsyncIterator[tuple[int, Candles | None]]:
        """Iterate over packed days, ascending; one that is corrupt is named, and None."""
        wanted = list(days)
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            values = await self._backend.fields(place.packed, [_name(day) for day in batch])
            for day, value in zip(batch, values, strict=True):
                if value is not None:  # else it was dropped meanwhile
                    yield day, self._unpacked(place, day, value)
            await checkpoint()

    def _unpacked(self, place: CandlePlace, day: int, value: bytes | None) -> Candles | None:
        if value is None:
            return None
        try:
            return packed_day.unpack(value, day)
        except PackedDayError as error:
            log.warning("store.corrupt_day", key=place.packed, day=_name(day), error=str(error))
            return None


def _day_of(moment_ms: int) -> int:
    return moment_ms // DAY_MS * DAY_MS


def _spread(place: CandlePlace) -> int:
    """Return how long after midnight, ms, an instrument's day is packed, so that not all of them are at once."""
    return zlib.crc32(place.recent.encode()) % DAY_MS // MINUTE_MS * MINUTE_MS


def _name(day_ms: int) -> str:
    return str(np.datetime64(day_ms, "ms").astype("datetime64[D]"))


def _moment(name: str) -> int | None:
    """Return where a day begins, UTC epoch ms; None where a name is no day's."""
    try:
        day = np.datetime64(name, "D")
    except ValueError:
        return None
    moment = int(day.astype("datetime64[ms]").astype(np.int64))
    return moment if _name(moment) == name else None
