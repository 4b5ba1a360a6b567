"""The evaluations of the last 30 days, from which the floors come: read once from the store, carried on, and given back where it lost them."""

from __future__ import annotations

import structlog

from hotbandd.core.candles import DAY_MS
from hotbandd.core.documents import EvaluationPoint
from hotbandd.core.floors import History
from hotbandd.ports import Lease, Store
from hotbandd.services.leader import Leadership

log = structlog.get_logger()

HISTORY_MS = 30 * DAY_MS
Place = tuple[str, str]
"""Instrument and ``param_key``."""


class Evaluations:
    """Histories of all instruments, each under the parameters that are in force."""

    def __init__(self, store: Store, leadership: Leadership) -> None:
        self._store = store
        self._leadership = leadership
        self._histories: dict[Place, History] = {}
        self._read: set[Place] = set()

    def read_anew(self) -> None:
        """Read the store again before the next slot: under a new lease it may hold more than is known here, or less."""
        self._read.clear()

    async def recall(self, lease: Lease, place: Place, slot: int) -> None:
        """Have the evaluations before a slot here, and those that are known here in the store."""
        if place in self._read:
            return
        for other in [known for known in self._histories if known[0] == place[0] and known != place]:
            del self._histories[other]
            self._read.discard(other)
        stored = {point.ts: point for point in await self._store.evaluation_points(*place, slot - HISTORY_MS, slot)}
        known = {point.ts: point for point in self.before(place, slot)}
        lost = [point for ts, point in known.items() if ts not in stored]
        if lost:
            log.warning("evaluations.given_back", instrument=place[0], evaluations=len(lost))
            outcome = await self._store.put_evaluation_points(lease, *place, lost)
            self._leadership.accept(outcome, f"the evaluations of {place[0]}", lease)
        whole = known | stored
        self._histories[place] = History(whole[ts] for ts in sorted(whole))
        self._read.add(place)

    def before(self, place: Place, slot: int) -> History:
        """Return the evaluations of the 30 days before a slot."""
        return self._histories.get(place, History()).between(slot - HISTORY_MS, slot)

    def add(self, place: Place, point: EvaluationPoint) -> None:
        """Take in an evaluation that was published."""
        self._histories.setdefault(place, History()).add(point)
