"""An observer who sees every answer of the server and every publication, and holds them against the rules.

It knows of each daemon only what that daemon was told, so that a value that a fault put there counts as what was to be decided on.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from hotbandd.adapters.store.backend import PackDay, Publication, SetValue
from hotbandd.core.packed_day import unpack
from tests.simulation import rules
from tests.simulation.belief import BLOB, CANDLES, HISTORY, KILL, STATE, STATUS, STEP_MS, WEIGHTS, Belief, document
from tests.simulation.virtual_loop import LOOP
from tests.simulation.watch_gates import GatesWatch
from tests.simulation.watch_weights import WeightsWatch

if TYPE_CHECKING:
    from tests.simulation.daemons import Daemon
    from tests.simulation.server import Server
    from tests.simulation.world import World

WRITES = frozenset({"set", "put", "trim", "pack", "drop", "publish", "acquire", "renew"})


class Observer:
    """Collects what breaks a rule."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.failures: list[str] = []
        self.counts: Counter[str] = Counter()
        self.digest = hashlib.sha256()
        self._beliefs: defaultdict[str, Belief] = defaultdict(Belief)
        self._gates = GatesWatch(world, self._beliefs, self.counts, self.fail)
        self._weights = WeightsWatch(world, self._beliefs, self.counts, self.fail)
        self._lease: tuple[bytes, float] | None = None
        self._contents: dict[tuple[str, int, int], bytes] = {}
        self._seen: dict[str, tuple[int, int]] = {}  # by document: epoch and ts that an epoch-honouring reader saw last
        # By daemon and key: epoch, seq and value of each publication.
        self._values: defaultdict[tuple[str, str], list[tuple[int, int, bytes]]] = defaultdict(list)
        self._stored: defaultdict[tuple[str, str], set[int]] = defaultdict(set)  # minutes, by daemon and instrument
        self._lost_until = -inf  # the server lost what it knew; nobody led since, or for long

    def fail(self, text: str) -> None:
        """Note that a rule was broken."""
        self.failures.append(
            f"{rules.datetime.fromtimestamp(self.world.now() / 1000, rules.UTC):%m-%d %H:%M:%S} {text}"
        )
        if len(self.failures) >= 20:
            self.world.over.set()

    # ---- what it sees

    def restarted(self, server: Server) -> None:
        """Note that the server began anew, with what it holds now."""
        held = server.inner._values.get("hotband:leader")
        self._lease = (held, server.inner._lease_end) if held is not None else None
        self._lost_until = inf
        self.counts["restarts of the store"] += 1

    def asked(self, client: Daemon, name: str) -> None:
        """Note that a daemon asks for something. What was about to run in the turn of a SIGTERM asks as if before it."""
        if client.terminated is not None and client.terminated < client.loop.turns and name in WRITES:
            self.fail(f"{client.name} asked for {name} after SIGTERM")

    def called(self, client: Daemon, name: str, args: tuple[Any, ...], answer: Any) -> None:
        """Note what a daemon was answered."""
        if name == "get":
            self._read(client, args[0], answer)
        elif name == "range" and answer is not None:
            self._ranged(client, args[0], answer)
        elif name == "fields" and answer is not None:
            self._unpacked(client, *args, answer)
        elif name == "put":
            self._put(client, *args)
        elif name == "pack" and answer:
            self._packed(client, args[0])
        elif name == "publish":
            if answer is not None:
                self._published(client, args[0], str(answer.outcome))
        elif name in ("acquire", "renew", "release"):
            self._leased(client, name, args, answer)

    def _read(self, client: Daemon, key: str, raw: bytes | None) -> None:
        belief, loop = self._beliefs[client.name], LOOP.get()
        now = client.clock.now()
        if key == BLOB and loop == "allocator":
            before = belief.told.get(BLOB)
            found = before and document(before[1], "epoch")
            if found and type(found["epoch"]) is int:
                belief.highest_epoch = max(belief.highest_epoch, found["epoch"])
        if key in (BLOB, WEIGHTS, STATUS, KILL) and loop == "allocator":
            belief.told[key] = now, raw
        elif key.startswith(STATE) and loop == "evaluator":
            belief.states[key.removeprefix(STATE)] = document(raw, *rules.FRESH_STATE) or dict(rules.FRESH_STATE)

    def _ranged(self, client: Daemon, key: str, rows: list[tuple[bytes, float]]) -> None:
        belief = self._beliefs[client.name]
        if key.startswith(HISTORY):
            good = [row for row in rows if document(row[0], "ts")]
            belief.points[key.removeprefix(HISTORY)] = int(good[-1][1]) if good else 0
        elif key.startswith(CANDLES) and rows:
            pair = key.split(":")[2]
            belief.newest[pair] = max(belief.newest.get(pair, 0), int(rows[-1][1]))

    def _unpacked(self, client: Daemon, key: str, days: list[str], packed: list[bytes | None]) -> None:
        belief, pair = self._beliefs[client.name], key.split(":")[-2]
        ends = [rules.start_of(day) + rules.DAY - 1 for day, value in zip(days, packed, strict=True) if value]
        belief.newest[pair] = max(belief.newest.get(pair, 0), *ends, 0)

    def _leased(self, client: Daemon, name: str, args: tuple[Any, ...], answer: Any) -> None:
        now = anyio.current_time()
        if name == "acquire":
            holder, ttl = args[:2]
            if answer.rpartition(b":")[0].decode() == holder:
                if self._lease and now < self._lease[1] and self._lease[0].rpartition(b":")[0].decode() != holder:
                    self.fail(f"{holder} leads while {self._lease[0].decode()} does")
                self._lease = answer, now + ttl / 1000
                self._lost_until = min(self._lost_until, now + 2 * ttl / 1000)
                self.counts["leases"] += 1
        elif name == "renew" and answer:
            self._lease = f"{args[0].holder}:{args[0].epoch}".encode(), now + args[1] / 1000
        elif name == "release" and self._lease and self._lease[0] == f"{args[0].holder}:{args[0].epoch}".encode():
            self._lease = None

    def _put(self, client: Daemon, key: str, members: list[tuple[bytes, float]]) -> None:
        if not key.startswith(CANDLES):
            return
        pair = key.split(":")[2]
        for row, (_, score) in zip(
            msgspec.json.decode(b"[" + b",".join(member for member, _ in members) + b"]"), members, strict=True
        ):
            nan = float("nan")
            candle = (row["o"], row["h"], row["l"], row["c"], row["v"], row.get("bid", nan), row.get("ask", nan))
            self._true(client, pair, row["t"], candle)
            if row["t"] != score:
                self.fail(f"{client.name} stored a candle of {pair} at {score}: {row}")
        self.counts["candles stored"] += len(members)
        self._owed(client, pair, {int(score) for _, score in members})

    def _packed(self, client: Daemon, packed: PackDay) -> None:
        """Note which candles a packed day holds: those of a back-fill go there at once, before later ones go to the sorted set."""
        pair = packed.place.recent.split(":")[2]
        rows = {row.t: row for row in unpack(packed.value, rules.start_of(packed.day)).rows()}
        nan = float("nan")
        for minute in rows.keys() - self._stored[client.name, pair]:
            row = rows[minute]
            bid, ask = (nan if quote is None else quote for quote in (row.bid, row.ask))
            self._true(client, pair, minute, (row.o, row.h, row.l, row.c, row.v, bid, ask))
        self.counts["candles packed"] += len(rows)
        self._stored[client.name, pair] |= rows.keys()

    def _true(self, client: Daemon, pair: str, minute: int, candle: tuple[float, ...]) -> None:
        if candle not in self.world.market.told(pair, minute):
            self.fail(f"{client.name} stored a candle of {pair} that never was: {minute}, {candle}")

    def _owed(self, client: Daemon, pair: str, minutes: set[int]) -> None:
        """Check that a daemon which stores later candles owes the store none that the source gave it since it read what is there."""
        given, stored = self.world.source.given[client, pair], self._stored[client.name, pair]
        stored |= minutes
        given -= stored
        since = max(
            self._beliefs[client.name].newest.get(pair, 0), self.world.now() - (self.world.kept_days - 1) * rules.DAY
        )
        owed = sorted(minute for minute in given if since < minute < max(minutes))
        if owed:
            self.fail(
                f"{client.name} stored candles of {pair} up to {max(minutes)}, but not {len(owed)} from {owed[0]} on"
            )
            given -= set(owed)

    # ---- publications

    def _published(self, client: Daemon, publication: Publication, outcome: str) -> None:
        if outcome != "published":
            self.counts[outcome] += 1
            return
        lease = f"{publication.lease.holder}:{publication.lease.epoch}".encode()
        if self._lease is None or self._lease[0] != lease or anyio.current_time() >= self._lease[1]:
            self.fail(f"{client.name} published with {lease.decode()}, but the lease is {self._lease}")
        if client.name != publication.lease.holder:
            self.fail(f"{client.name} published with the lease of {publication.lease.holder}")
        values = {command.key: command.value for command in publication.commands if isinstance(command, SetValue)}
        if publication.fence is not None and (publication.again or publication.fence.epoch < publication.lease.epoch):
            self._repeated(client, publication, values)
            return
        if publication.fence is not None:
            self._placed(client, publication, values)
            for key, value in values.items():
                self._values[client.name, key].append((publication.fence.epoch, publication.fence.seq, value))
        if BLOB in values:
            self._gates.check(client, publication, values)
        elif STATUS in values:
            self._weights.check(client, values)

    def _repeated(self, client: Daemon, publication: Publication, values: dict[str, bytes]) -> None:
        """Check that what goes out again is what this daemon had published by then, and no later document stands there.

        What it published later without hearing of it, it cannot know: a server may have lost that.
        """
        name, epoch, seq = publication.fence  # type: ignore[misc]
        self.counts["repeated"] += 1
        changed = [key for key, value in values.items() if self._by(client.name, key, epoch, seq) != value]
        if changed or (name, epoch, seq) not in self._contents:
            self.fail(f"{client.name} repeated {(name, epoch, seq)}, but with other content at {changed}")
        if (epoch, seq) < self._seen.get(name, (0, 0)) and not self._lately():
            self.fail(f"{client.name} repeated {(name, epoch, seq)} over {self._seen[name]}")
        self.digest.update(b"again %s %d %d\n" % (name.encode(), self.world.now(), seq))
        if BLOB in values and self.world.now() - client.skew_ms - seq > 0:
            age = client.clock.now() - seq
            if age > client.settings.gates_blob_max_age_sec * 1000 + STEP_MS:
                self.fail(f"{client.name} repeated a blob that is {age} ms old")

    def _by(self, daemon: str, key: str, epoch: int, seq: int) -> bytes | None:
        """Return what a daemon had published at a key by a place."""
        known = self._values[daemon, key]
        return next((value for at, moment, value in reversed(known) if (at, moment) <= (epoch, seq)), None)

    def _placed(self, client: Daemon, publication: Publication, values: dict[str, bytes]) -> None:
        name, epoch, seq = publication.fence  # type: ignore[misc]
        raw = b"\n".join(values[key] for key in sorted(values))
        self.digest.update(b"%s %d %d %s\n" % (name.encode(), self.world.now(), seq, raw))
        self.counts[name.partition(":")[0]] += 1
        place = (name, epoch, seq)
        if self._contents.setdefault(place, raw) != raw:
            self.fail(f"{client.name} published other content as {place}")
        if epoch != publication.lease.epoch:
            self.fail(f"{client.name} published with epoch {epoch}, not the lease's {publication.lease.epoch}")
        seen, ts = self._seen.get(name, (0, 0))
        lately = self._lately()
        if epoch < seen:
            if not lately:
                self.fail(f"the epoch of {name} fell from {seen} to {epoch}")
            self.counts["rejected by readers"] += 1
            return
        if epoch == seen and seq < ts and not lately:
            self.fail(f"the seq of {name} fell from {ts} to {seq}")
        self._seen[name] = epoch, seq

    def _lately(self) -> bool:
        """Tell whether the server lost what it knew a short while ago: then only readers know which epoch was the highest."""
        return anyio.current_time() < self._lost_until
