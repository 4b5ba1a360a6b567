"""Published gates against the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hotbandd.adapters.store.backend import Publication, Send
from tests.simulation import rules
from tests.simulation.belief import BLOB, STATE, STEP_MS, Belief, document
from tests.simulation.rules import MINUTE

if TYPE_CHECKING:
    from tests.simulation.daemons import Daemon
    from tests.simulation.world import World


class GatesWatch:
    """Steps every gate by the rules, and compares."""

    def __init__(
        self, world: World, beliefs: dict[str, Belief], counts: Counter[str], fail: Callable[[str], None]
    ) -> None:
        self._world = world
        self._beliefs = beliefs
        self._counts = counts
        self._fail = fail

    def check(self, client: Daemon, publication: Publication, values: dict[str, bytes]) -> None:
        """Check a published blob, and the gates that were stepped for it."""
        blob = self._whole(client, publication, values)
        if blob is None:
            return
        now, ts = client.clock.now(), blob["ts"]
        if ts > now or blob["evaluated_ts"] > ts:
            self._fail(f"a blob of the future: {ts} at {now}")
        belief, states = self._beliefs[client.name], {}
        for pair in sorted(client.settings.pairs):
            states[pair] = self._state(client, belief, pair, ts, values)
            self._counts["flags"] += 1
            if blob["gates"][pair]:
                self._counts["open flags"] += 1
                self._open(client, pair, states[pair], ts, now)
        for other, known in self._beliefs.items():
            if other != client.name and STATE + client.settings.pairs[0] in values:
                known.states.clear()  # what they were told is history
        belief.states.update(states)

    def _whole(self, client: Daemon, publication: Publication, values: dict[str, bytes]) -> dict[str, Any] | None:
        """Check that a blob speaks of all instruments, and that its keys and its message say the same; return it."""
        blob = document(values[BLOB], "ts", "evaluated_ts", "gates", "cooldowns", "bufs", "reasons", "guards")
        pairs = set(client.settings.pairs)
        if blob is None:
            self._fail(f"a blob that is none: {values[BLOB]!r}")
            return None
        for part in ("gates", "cooldowns", "bufs", "reasons", "guards"):
            if set(blob[part]) != pairs:
                self._fail(f"{part} of {sorted(blob[part])}, not of {sorted(pairs)}")
                return None
        sent = [command for command in publication.commands if isinstance(command, Send)]
        if [(one.channel, one.message) for one in sent] != [("ws:gates", values[BLOB])]:
            self._fail("the blob's message is not the blob")
        for pair in sorted(pairs):
            flag, reasons, key = blob["gates"][pair], blob["reasons"][pair], values[f"opt:rolling:eligible:{pair}"]
            if (flag == 1) == bool(reasons) or key != b"%d" % flag:
                self._fail(f"{pair} reads {flag}, its key {key!r}, for {reasons}")
        return blob

    def _state(self, client: Daemon, belief: Belief, pair: str, ts: int, values: dict[str, bytes]) -> dict[str, Any]:
        """Check that a gate was stepped by the rules, from where it was told that it stood; return where it stands."""
        before = belief.states.get(pair)
        if before is None:
            self._fail(f"{client.name} stepped {pair} without having read where its gate stood")
            before = dict(rules.FRESH_STATE)
        raw = values.get(STATE + pair)
        if raw is None:
            return before
        after = document(raw, *rules.FRESH_STATE)
        assert after is not None
        summary = document(values.get(f"bt:rolling:summary:{pair}"), "summary", "gates")
        found = None if summary is None else rules.verdict(pair, summary)
        newest = after["last_candle"]
        expected = rules.stepped(
            before,
            found,
            ts,
            newest,
            after["param_key"],
            consecutive=client.settings.req_consec,
            cooldown_ms=client.settings.cooldown_sec * 1000,
        )
        if {**after, "schema": 1} != {**expected, "schema": 1}:
            self._fail(f"{pair} went from {before} by {found} in {ts} to {after}, not to {expected}")
        self._counts[found or "unjudged"] += 1
        now_stepped = after["last_slot"] == ts > before["last_slot"]
        if now_stepped and (newest > ts - MINUTE or not self._world.market.told(pair, newest)):
            self._fail(f"{pair} was judged in {ts} on a candle of {newest}")
        return after

    def _open(self, client: Daemon, pair: str, state: dict[str, Any], ts: int, now: int) -> None:
        if not state["eligible"] or ts < state["cooldown_until"]:
            self._fail(f"{pair} reads 1 in {ts}, but stands at {state}")
        late = now - round(client.settings.decision_lag_sec * 1000)
        moments = {max(ts, moment - moment % MINUTE) for moment in range(late - STEP_MS, late + 1, MINUTE // 4)}
        if not any(rules.tradable(pair, moment) for moment in moments):
            self._fail(f"{pair} reads 1 in {ts}, published at {now}, while its session is closed or about to")
        newest = max(
            self._beliefs[client.name].newest.get(pair, 0), self._world.source.delivered.get((client, pair), 0)
        )
        if min(moments) - (newest + MINUTE) > 300_000:
            self._fail(f"{pair} reads 1 in {ts}, but its newest candle is of {newest}")
