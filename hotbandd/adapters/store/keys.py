"""Names of keys and channels, and how long each lives: the contract's table, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from hotbandd.core.candles import DAY_MS
from hotbandd.ports import Ages

MANIFOLD_CHANNEL = "ws:manifold"
GATES_CHANNEL = "ws:gates"
WEIGHTS_CHANNEL = "ws:weights"

GATES_BLOB = "opt:rolling:gates_blob"
WEIGHTS = "risk:allocation_weights"
ALLOCATOR_STATUS = "opt:allocator:status"
KILL_SWITCH = "ops:kill_switch"
RELEASED = b"0"  # the one value of the kill switch that lets weights rise
LEADER = "hotband:leader"
EPOCH = "hotband:epoch"
COUNT = "hotband:count"
EPOCH_IN_CLUSTER = f"hotband:epoch:{{{LEADER}}}"  # in the slot of the lease
DOCUMENTS = "hotband:documents"
CLOCK = "hotband:clock"
DOCTOR = "hotband:doctor"

GATES_FENCE = "gates"
WEIGHTS_FENCE = "weights"

MANIFOLD_HISTORY_MS = DAY_MS
EVALUATIONS_MS = 30 * DAY_MS
MANIFOLD_DAYS_MS = 35 * DAY_MS


def candles(instrument: str, granularity: str) -> str:
    """Sorted set of candles by open time."""
    return f"md:candles:{instrument}:{granularity}"


def packed_candles(instrument: str, granularity: str) -> str:
    """Hash of packed days by ``YYYY-MM-DD``. In a cluster it lies where the sorted set does, whose name it bears as its hash tag.

    Not below ``md:candles:``, where other programs may expect sorted sets alone.
    """
    return f"hotband:candles:{{{candles(instrument, granularity)}}}"


class CandlePlace(NamedTuple):
    """Where an instrument's candles of one granularity are."""

    instrument: str
    granularity: str

    @property
    def recent(self) -> str:
        """Key of the sorted set."""
        return candles(*self)

    @property
    def packed(self) -> str:
        """Key of the packed days."""
        return packed_candles(*self)


def manifold(instrument: str) -> str:
    """Newest manifold."""
    return f"ws:last:manifold:{instrument}"


def manifold_history(instrument: str) -> str:
    """Sorted set of manifold points by ts."""
    return f"ws:manifold:hist:{instrument}"


def signal(instrument: str, ts_ns: int) -> str:
    """Hash of one signal."""
    return f"sep:signal:{instrument}:{ts_ns}"


def signal_index(instrument: str) -> str:
    """Sorted set of signal keys by ts in ms."""
    return f"sep:signal_index:{instrument}"


def manifold_day(instrument: str, day: str) -> str:
    """Manifold document of a day, gzip."""
    return f"manifold:{instrument}:{day}"


def summary(instrument: str) -> str:
    """Last evaluation."""
    return f"bt:rolling:summary:{instrument}"


def evaluations(instrument: str, param_key: str) -> str:
    """Sorted set of evaluation points by ts."""
    return f"bt:rolling:hist:{instrument}:{param_key}"


def eligible(instrument: str) -> str:
    """Flag of a gate, 0 or 1."""
    return f"opt:rolling:eligible:{instrument}"


def gate_state(instrument: str) -> str:
    """State of a gate."""
    return f"opt:rolling:state:{instrument}"


def cooldown(instrument: str) -> str:
    """Cooldown of a gate, while there is one."""
    return f"opt:rolling:cooldown:{instrument}"


def fence(document: str) -> str:
    """Highest ``epoch:seq`` published of a document."""
    return f"hotband:fence:{document}"


def manifold_fence(instrument: str) -> str:
    """Name of the fenced document that an instrument's manifold is."""
    return f"manifold:{instrument}"


def fenced(document: str) -> str:
    """Key of the document that a fence is named for."""
    kind, _, instrument = document.partition(":")
    return manifold(instrument) if instrument else {GATES_FENCE: GATES_BLOB, WEIGHTS_FENCE: WEIGHTS}[kind]


def fence_in_cluster(key: str) -> str:
    """In a cluster, the fence of a key, in its slot: ``epoch:seq`` of what was published there, and the epoch of who may publish."""
    return fence(f"{{{key}}}")


TRIAL_INDEX = "bt:trial:index"
TRIAL_PACKS = "bt:trial:packs"
TRIAL_LOCK = "bt:trial:lock"
REPORT = "opt:backtests:report:latest"

TRIALS_MS = 30 * DAY_MS
TRIAL_LOCK_MS = 60_000
BEST_MS = 14 * DAY_MS


def trial_pack(pack_id: str) -> str:
    """Runs of a trial that ended together; named as the first of them."""
    return f"bt:trial:pack:{pack_id}"


def trial_run(run_id: str) -> str:
    """One of the best runs of a trial."""
    return f"bt:trial:run:{run_id}"


def trial_trades(run_id: str) -> str:
    """Trades of a run."""
    return f"bt:trial:trades:{run_id}"


def trial_progress(spec: str) -> str:
    """Set of a spec's finished combinations, by the packs that hold their runs."""
    return f"bt:trial:progress:{spec}"


def best_config(name: str) -> str:
    """Best parameters of an instrument, or GLOBAL."""
    return f"opt:best_config:{name}"


def live_config_channel(instrument: str) -> str:
    """Channel of an instrument's promoted parameters."""
    return f"opt:live_config:changed:{instrument}"


@dataclass(frozen=True)
class Expiries:
    """Lives of keys in real ms: the contract's, divided by the speed of the clock, at least a second."""

    ages: Ages
    speed: float
    late_sec: float = 0.0

    def of(self, seconds: float) -> int:
        """Return the real life of a key that lives some seconds of the clock, ms."""
        return max(1000, round(seconds * 1000 / self.speed))

    def late(self, seconds: float) -> Expiries:
        """Return the lives of what is published so long after the slot that it is of."""
        return replace(self, late_sec=seconds)

    @property
    def manifold(self) -> int:
        """Life of a newest manifold."""
        return self.of(300)

    @property
    def signal(self) -> int:
        """Life of a signal."""
        return self.of(self.signals_kept_ms / 1000)

    @property
    def summary(self) -> int:
        """Life of an evaluation's summary."""
        return self.of(3600)

    @property
    def gates(self) -> int:
        """Life of the blob and of the flags."""
        return self.of(self.ages.gates_blob_sec - self.late_sec)

    @property
    def status(self) -> int:
        """Life of the allocator's status."""
        return self.of(2 * self.ages.alloc_interval_sec)

    @property
    def clock(self) -> int:
        """Life of the clock's anchor: real, as its writer renews it in real time."""
        return 60_000

    @property
    def candles_kept_ms(self) -> int:
        """How long candles are kept before the newest one, by their own time."""
        return self.ages.candles_days * DAY_MS

    @property
    def candles_hot_ms(self) -> int:
        """How long candles stand singly before the newest one, by their own time."""
        return self.ages.candles_hot_days * DAY_MS

    @property
    def signals_kept_ms(self) -> int:
        """How long signals are listed before the newest one, by their own time."""
        return self.ages.signal_days * DAY_MS
