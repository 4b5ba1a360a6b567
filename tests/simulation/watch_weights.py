"""Published weights against the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.simulation import rules
from tests.simulation.belief import BLOB, KILL, STATUS, STEP_MS, WEIGHTS, Belief, document

if TYPE_CHECKING:
    from tests.simulation.daemons import Daemon
    from tests.simulation.world import World


class WeightsWatch:
    """Compares each slot's weights with the gates, the switch and the weights that the allocator was told."""

    def __init__(
        self, world: World, beliefs: dict[str, Belief], counts: Counter[str], fail: Callable[[str], None]
    ) -> None:
        self._world = world
        self._beliefs = beliefs
        self._counts = counts
        self._fail = fail

    def check(self, client: Daemon, values: dict[str, bytes]) -> None:
        """Check what a slot of the allocator published, against what it was told before."""
        belief, now = self._beliefs[client.name], client.clock.now()
        status = document(values[STATUS], "ts", "held", "held_since", "reason")
        assert status is not None
        for key in (BLOB, WEIGHTS, KILL):
            if key not in belief.told or (now - belief.told[key][0] > STEP_MS and not client.late):
                self._fail(f"{client.name} allocated {status['ts']} without having read {key}")
                return
        previous = document(belief.told[WEIGHTS][1], "weights", "ts", "target", "epoch", "seq")
        old: dict[str, float] = previous["weights"] if previous else {}
        new: dict[str, float] = old
        if WEIGHTS in values:
            new = self._shown(client, values[WEIGHTS], status["ts"])
        elif previous is None:
            self._fail("nothing to hold, and no weights published")
        else:
            self._bounded(client, old)
        raised = sorted(pair for pair, weight in new.items() if weight > old.get(pair, 0.0))
        self._counts["raised weights"] += len(raised)
        gates = self._usable(client, belief, status["ts"])
        self._rises(belief, status, raised, gates)
        if gates is not None:
            self._closed(client, belief, status, [pair for pair in new if gates.get(pair) != 1])
        elif not status["held"]:
            self._fail(f"not held over gates that cannot be used: {belief.told[BLOB]}")

    def _shown(self, client: Daemon, raw: bytes, slot: int) -> dict[str, float]:
        """Check the weights of a slot by themselves; return them."""
        shown = document(raw, "ts", "weights", "target", "gates_ts", "scores", "epoch")
        assert shown is not None
        weights: dict[str, float] = shown["weights"]
        self._bounded(client, weights)
        if shown["ts"] != slot:
            self._fail(f"weights of {shown['ts']} in the slot {slot}")
        return weights

    def _rises(self, belief: Belief, status: dict[str, Any], raised: list[str], gates: dict[str, int] | None) -> None:
        """Check that weights rose only where they may."""
        slot = status["ts"]
        if raised and belief.told[KILL][1] != b"0":
            self._fail(f"{raised} rose in {slot} while the kill switch read {belief.told[KILL][1]!r}")
        if raised and (gates is None or status["held"]):
            self._fail(f"{raised} rose in {slot} over unusable gates, or in a hold")
        for pair in raised if gates is not None else ():
            if gates.get(pair) != 1 or slot - belief.points.get(pair, 0) >= 300_000:
                self._fail(f"{pair} rose in {slot}: gate {gates.get(pair)}, newest metrics {belief.points.get(pair)}")

    def _bounded(self, client: Daemon, weights: dict[str, float]) -> None:
        lately = self._world.now() - client.reconfigured < STEP_MS
        chosen = [client.settings, client.former] if lately else [client.settings]
        target = max(Decimal(repr(one.risk_alloc_target_pct)) for one in chosen)
        cap = max(one.pm_max_per_pos_pct for one in chosen)
        if rules.exact(weights) > target or any(not 0 <= weight <= cap for weight in weights.values()):
            self._fail(f"{client.name} published, or lets stand, {weights}, beyond {target} or {cap}")
        if not set(weights) <= set(client.settings.pairs):
            self._fail(f"{client.name} published, or lets stand, a weight of a removed instrument: {weights}")

    def _usable(self, client: Daemon, belief: Belief, slot: int) -> dict[str, int] | None:
        """Return the gates as they were read, None where they cannot be used."""
        at, raw = belief.told[BLOB]
        blob = document(raw, "ts", "evaluated_ts", "gates", "cooldowns", "bufs", "reasons", "guards", "epoch", "seq")
        if blob is None or blob["epoch"] < belief.highest_epoch:
            return None
        now = max(slot, at)
        stamps = (blob["ts"], blob["evaluated_ts"])
        if max(stamps) > now + 5000 or now - min(stamps) > client.settings.gates_blob_max_age_sec * 1000:
            return None
        gates: dict[str, int] = blob["gates"]
        return gates

    def _closed(self, client: Daemon, belief: Belief, status: dict[str, Any], closed: list[str]) -> None:
        """Check that nothing keeps a weight on a closed gate, but in a hold that has not gone on for too long."""
        if not closed:
            return
        self._counts["weights on closed gates"] += len(closed)
        settings = client.settings
        if self._world.now() - client.reconfigured < STEP_MS:
            return
        before = document(belief.told[STATUS][1], "held", "held_since", "ts") if STATUS in belief.told else None
        since = status["held_since"]
        if not status["held"] or settings.alloc_hold_mode == "reduce_only":
            self._fail(f"{closed} keep weights on closed gates in {status['ts']}: {status['reason']}")
        elif settings.alloc_max_hold_sec and status["ts"] - since >= settings.alloc_max_hold_sec * 1000:
            self._fail(f"{closed} were held from {since} to {status['ts']} on closed gates")
        if before and before["held"] and before["held_since"] != since:
            self._fail(f"a hold since {before['held_since']} is said to be since {since}")
