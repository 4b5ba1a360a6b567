"""Doctor: looks at everything that can be wrong, and says what to do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from hotbandd.core import intervals
from hotbandd.core.backfill import missing_ranges
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.sessions import Calendar
from hotbandd.errors import HotbandError
from hotbandd.operations.hydrate import FRESH_MS, manifold_faults, newest_open_minute
from hotbandd.ports import Broker, Server, ServerFacts, SignalArchive, Store

OLDEST_VALKEY = (7, 2)
SLOW_MS = 20.0
SKEW_SEC = 5.0
LEAST_FREE_BYTES = 1_000_000_000
GAPS_MIN = 60  # minutes missing in a day's history that are worth a word

State = Literal["ok", "warning", "fault"]


class Check(msgspec.Struct, frozen=True):
    """One thing looked at: what was found, and what to do where it is not well."""

    name: str
    state: State
    found: str
    advice: str = ""


class Disk(NamedTuple):
    """Room below HOTBAND_HOME; ``refused``: why nothing can be written there."""

    free_bytes: int
    refused: str | None


@dataclass(frozen=True)
class Doctor:
    """Looks at the outside through the ports."""

    pairs: tuple[str, ...]
    granularity: str
    days: int
    gates_max_age_sec: int
    calendar: Calendar
    store: Store
    server: Server
    signals: SignalArchive
    broker: Broker | None
    skew_sec: Callable[[], float | None]

    async def run(self, now: int) -> list[Check]:
        """Look at the server first; without it, at nothing that lies in it."""
        checks = [await looked("valkey", self._server)]
        if checks[0].state != "fault":
            checks += [
                await looked(name, look)
                for name, look in (
                    ("leader", self._leader),
                    ("kill switch", self._kill_switch),
                    ("gates", lambda: self._gates(now)),
                    ("allocator", lambda: self._allocator(now)),
                )
            ]
            for pair in self.pairs:
                checks.append(await looked(f"candles {pair}", lambda pair=pair: self._candles(pair, now)))  # type: ignore[misc]
                checks.append(await looked(f"manifold {pair}", lambda pair=pair: self._manifold(pair, now)))  # type: ignore[misc]
        return [*checks, await looked("oanda", self._oanda)]

    async def _server(self) -> Check:
        return judged_server(await self.server.facts())

    async def _leader(self) -> Check:
        lease = await self.store.leader()
        if lease is None:
            return Check("leader", "fault", "nobody leads", "Start hotbandd run; without it nothing is published.")
        return Check("leader", "ok", f"{lease.holder}, epoch {lease.epoch}")

    async def _kill_switch(self) -> Check:
        engaged = await self.store.kill_switch()
        if engaged is None:
            return Check("kill switch", "warning", "missing, so engaged", "Set it: hotbandd kill release, or engage.")
        if engaged:
            return Check(
                "kill switch", "warning", "engaged: no weight rises", "When all is well: hotbandd kill release."
            )
        return Check("kill switch", "ok", "released")

    async def _gates(self, now: int) -> Check:
        blob = await self.store.gates_blob()
        if blob is None:
            return Check("gates", "fault", "no blob", "See why the evaluator does not publish: /healthz, and its log.")
        age = (now - blob.evaluated_ts) // 1000
        found = f"{sum(blob.gates.values())} of {len(blob.gates)} open, {age} s old"
        missing = sorted(set(self.pairs) - set(blob.gates))
        if missing:
            return Check(
                "gates", "fault", f"{', '.join(missing)} missing", "Restart the daemon with the same HOTBAND_PAIRS."
            )
        if age > self.gates_max_age_sec:
            return Check("gates", "fault", found, "See why the evaluator does not publish: /healthz, and its log.")
        return Check("gates", "ok", found)

    async def _allocator(self, now: int) -> Check:
        status, weights = await self.store.allocator_status(), await self.store.weights()
        if status is None or weights is None:
            return Check("allocator", "fault", "no status or weights", "See the log for allocator failures.")
        total = sum(weights.weights.values())
        found = f"{total:.4f} of {weights.target:.4f} allocated, {(now - status.ts) // 1000} s old"
        if status.held:
            return Check(
                "allocator", "warning", f"holds ({status.reason}); {found}", "See docs/operations.md, holding."
            )
        return Check("allocator", "ok", found)

    async def _candles(self, pair: str, now: int) -> Check:
        name, since = f"candles {pair}", now - self.days * DAY_MS
        page = await self.store.candles(pair, self.granularity, since, now)
        if not page.candles.size:
            return Check(name, "fault", "none", "hotbandd warmup --steps backfill")
        behind = newest_open_minute(self.calendar, now) - int(page.candles.t[-1]) - MINUTE_MS
        openings = intervals.clipped(self.calendar.week_openings(since, now), int(page.candles.t[0]), now)
        holes = missing_ranges(page.candles.t, openings)
        lost = sum(end - start for start, end in holes) // MINUTE_MS
        found = f"{page.candles.size}, {max(0, behind) // 1000} s behind, {lost} minutes missing"
        if page.refused:
            refused = ", ".join(f"{count} {reason}" for reason, count in sorted(page.refused.items()))
            return Check(name, "fault", f"{found}, {refused}", "Find who else writes this key; then back-fill anew.")
        if behind > FRESH_MS:
            return Check(name, "fault", found, "See the hydrator's log, and the source's state; then warm up.")
        if lost > GAPS_MIN * self.days:
            return Check(name, "warning", found, "hotbandd warmup --steps backfill --days 95")
        return Check(name, "ok", found)

    async def _manifold(self, pair: str, now: int) -> Check:
        name = f"manifold {pair}"
        faults = manifold_faults(pair, await self.store.manifold(pair), self.calendar, now)
        if faults:
            return Check(name, "fault", " ".join(faults), "Start hotbandd run, or hotbandd warmup.")
        newest = await self.signals.newest_signal(pair)
        if newest is None:
            return Check(name, "warning", "no signals listed", "hotbandd warmup --steps prime")
        return Check(name, "ok", "C, S, H, R in range, fresh")

    async def _oanda(self) -> Check:
        if self.broker is None:
            return Check("oanda", "ok", "not asked: no OANDA_API_KEY and OANDA_ACCOUNT_ID")
        await self.broker.account()
        skew = self.skew_sec()
        if skew is not None and abs(skew) > SKEW_SEC:
            return Check(
                "oanda", "fault", f"our clock is {skew:+.0f} s off OANDA's", "Have NTP set this machine's clock."
            )
        return Check("oanda", "ok", "token and account accepted, clocks agree")


async def looked(name: str, look: Callable[[], Awaitable[Check]]) -> Check:
    """Look; an error of ours is a fault that says itself what to do."""
    try:
        return await look()
    except HotbandError as error:
        return Check(name, "fault", type(error).__name__.removesuffix("Error"), str(error))


def judged_server(facts: ServerFacts) -> Check:
    """Judge a server by what it says of itself; the worst that is wrong gives the advice."""
    persistence = "append-only file" if facts.append_only else "no append-only file"
    found = f"version {facts.version or 'unknown'}, {facts.latency_ms:.1f} ms, {persistence}"
    if facts.layout:
        replicas = "unknown" if facts.replicas is None else facts.replicas
        found = f"{facts.layout}, replicas {replicas}, {found}"
    bounded = bool(facts.limit_bytes) and facts.eviction != "noeviction"
    wrong: list[tuple[bool, State, str]] = [
        (facts.broken is not None, "fault", f"{facts.broken} See CLUSTER INFO and CLUSTER NODES."),
        (facts.refused is not None, "fault", facts.refused or ""),
        (facts.version is None, "warning", "Give the user the right to INFO, so that the server can be judged."),
        (_older(facts.version), "fault", "Upgrade to Valkey 7.2 or newer."),
        (bounded, "fault", f"Set maxmemory-policy noeviction: {facts.eviction} throws gates and weights away."),
        (facts.last_save_ok is False, "fault", "The server's last save failed: look for a full disk on its side."),
        (facts.replicas == 0, "warning", "No replica follows a primary: when that one dies, nobody takes its place."),
        (facts.append_only is False, "warning", "Set appendonly yes: else a restart forgets gates and weights."),
        (
            facts.latency_ms > SLOW_MS,
            "warning",
            "A round trip is slow: bring Valkey closer, or see what keeps it busy.",
        ),
    ]
    for there, state, advice in wrong:
        if there:
            return Check("valkey", state, found, advice)
    return Check("valkey", "ok", found)


def _older(version: str | None) -> bool:
    return version is not None and tuple(map(int, version.split(".")[:2])) < OLDEST_VALKEY


def judged_disk(home: str, disk: Disk) -> Check:
    """Judge the room for files."""
    found = f"{disk.free_bytes / 1e9:.1f} GB free below {home}"
    if disk.refused is not None:
        return Check("disk", "fault", disk.refused, "Give hotband the right to write there, or set HOTBAND_HOME.")
    if disk.free_bytes < LEAST_FREE_BYTES:
        return Check("disk", "fault", found, "Free some room: files could soon not be written.")
    return Check("disk", "ok", found)


def healthy(checks: Sequence[Check]) -> bool:
    """Tell whether nothing is at fault; warnings are no faults."""
    return all(check.state != "fault" for check in checks)
