"""The catalogue of what others read in Valkey: each key and channel with the type of what it holds, and its schema."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec import Meta

from hotbandd.adapters.store import keys
from hotbandd.core import documents, file_documents, live_params, schemas, trial_documents
from hotbandd.core.candles import Candle
from hotbandd.errors import UsageError

INST: Final = "{inst}"
SNAPSHOT: Final = "docs/reports/snapshots/{stamp}"

Bit = Annotated[Literal["0", "1"], Meta(description="1: yes, 0: no.")]
Lease = Annotated[str, Meta(pattern="^.+:[0-9]+$", description="holder:epoch of the daemon that leads.")]
Order = Annotated[str, Meta(pattern="^[0-9]+:[0-9]+$", description="Highest epoch:seq published.")]
Digits = Annotated[str, Meta(pattern="^[0-9]+$", description="A number.")]
SignalKey = Annotated[str, Meta(pattern="^sep:signal:.+:[0-9]+$", description="Key of a signal.")]
Switch = Annotated[
    Literal["0", "1"], Meta(description="1: engaged, no weight rises; missing or anything else counts as 1.")
]
Text = Annotated[str, Meta(description="A name.")]


class Payload(NamedTuple):
    """What others read: its name here, its type, the keys and files that hold it, how it is written there, and the channel that it travels on.

    ``partial``: the parts of it that need not be whole.
    """

    name: str
    kind: Any
    kept: tuple[str, ...]
    form: str
    summary: str
    channel: str | None = None
    partial: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """Keys, files and channel."""
        return self.kept if self.channel is None else (*self.kept, self.channel)


def _document(
    name: str, kind: type, *kept: str, form: str = "JSON", summary: str = "", channel: str | None = None
) -> Payload:
    return Payload(name, kind, kept, form, summary or _first_sentence(kind), channel)


def _first_sentence(kind: type) -> str:
    text = (kind.__doc__ or "").split("\n\n")[0].partition(" (``")[0]
    return " ".join(text.split()).rstrip(".:")


PAYLOADS: Final[Sequence[Payload]] = (
    _document("candle", Candle, keys.candles(INST, "{gran}"), form="sorted-set member, JSON", summary="One candle"),
    _document("manifold", documents.Manifold, keys.manifold(INST), channel=keys.MANIFOLD_CHANNEL),
    _document(
        "manifold-point",
        documents.ManifoldPoint,
        keys.manifold_history(INST),
        form="sorted-set member, JSON",
        summary="One minute of an instrument's last day",
    ),
    _document(
        "manifold-day",
        file_documents.RunDocument,
        keys.manifold_day(INST, "{day}"),
        "output/manifolds/{inst}/{day}.json",
        form="JSON, gzip in Valkey",
        summary="Every window of a day",
    ),
    _document("signal", documents.Signal, keys.signal(INST, 0)[:-1] + "{ts_ns}", form="hash, every value as text"),
    Payload("signal-key", SignalKey, (keys.signal_index(INST),), "sorted-set member, text", "Key of a signal"),
    _document("summary", documents.RollingSummary, keys.summary(INST)),
    _document(
        "evaluation", documents.EvaluationPoint, keys.evaluations(INST, "{param_key}"), form="sorted-set member, JSON"
    ),
    _document("gate-state", documents.GateState, keys.gate_state(INST)),
    Payload("eligible", Bit, (keys.eligible(INST),), "text", "Whether an instrument may be traded"),
    _document("cooldown", documents.Cooldown, keys.cooldown(INST)),
    _document("gates", documents.GatesBlob, keys.GATES_BLOB, f"{SNAPSHOT}_gates.json", channel=keys.GATES_CHANNEL),
    _document("weights", documents.Weights, keys.WEIGHTS, channel=keys.WEIGHTS_CHANNEL),
    _document("allocator-status", documents.AllocatorStatus, keys.ALLOCATOR_STATUS),
    Payload("kill-switch", Switch, (keys.KILL_SWITCH,), "text", "The kill switch"),
    Payload("leader", Lease, (keys.LEADER,), "text", "Who leads"),
    Payload("epoch", Digits, (keys.EPOCH,), "text", "The highest epoch of a lease"),
    Payload("count", Digits, (keys.COUNT,), "text", "How many publications there were"),
    Payload("fence", Order, (keys.fence("{document}"),), "text", "The highest epoch and seq of a document"),
    _document("clock", documents.ClockAnchor, keys.CLOCK, summary="The clock while it is not the real one"),
    _document("trial-pack", trial_documents.TrialPack, keys.trial_pack("{pack_id}"), form="JSON, gzip"),
    _document("trial-run", trial_documents.TrialRun, keys.trial_run("{run_id}")),
    _document("trial-trades", trial_documents.TrialTrades, keys.trial_trades("{run_id}")),
    Payload("trial-id", Text, (keys.TRIAL_INDEX,), "sorted-set member, text", "Id of one of the best runs"),
    Payload("trial-pack-id", Text, (keys.TRIAL_PACKS,), "sorted-set member, text", "Id of a pack of runs"),
    Payload("trial-lock", Text, (keys.TRIAL_LOCK,), "text", "Who runs trials"),
    Payload(
        "trial-progress",
        Text,
        (keys.trial_progress("{spec_hash}"),),
        "set member, text",
        "A pack of finished combinations",
    ),
    _document(
        "best-config",
        trial_documents.BestConfig,
        keys.best_config(INST),
        summary="The best parameters of an instrument, or of all",
    ),
    _document(
        "live-config-changed",
        trial_documents.LiveConfigChanged,
        summary="News that an instrument's parameters were promoted",
        channel=keys.live_config_channel(INST),
    ),
    _document("report", trial_documents.ReportDocument, keys.REPORT),
    _document("live-params", file_documents.LiveParams, live_params.FILE, form="YAML")._replace(partial=("Params",)),
    _document("snapshot-allocation", file_documents.SnapshotAllocation, f"{SNAPSHOT}_allocation.json"),
    Payload(
        "snapshot-account", dict[str, Any], (f"{SNAPSHOT}_account.json",), "JSON", "The account, as OANDA words it"
    ),
    Payload(
        "snapshot-open-trades",
        dict[str, Any],
        (f"{SNAPSHOT}_open_trades.json",),
        "JSON",
        "The open trades, as OANDA words them",
    ),
)


def schema_of(payload: Payload) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a payload, whole in itself."""
    found = schemas.whole(payload.kind)
    for name in payload.partial:
        del found["$defs"][name]["required"]
    told = (f"{payload.summary}.", found.pop("description", ""), f"{payload.form}, at {' and '.join(payload.places)}.")
    return {
        "$schema": schemas.DIALECT,
        "$id": f"urn:hotband:schema{documents.SCHEMA}:{payload.name}",
        "title": payload.name,
        "description": " ".join(filter(None, told)),
        **found,
    }


def find(word: str, payloads: Sequence[Payload] = PAYLOADS) -> Payload:
    """Return the payload of a name, key, channel or file. Raises UsageError, which says which there are."""
    for payload in payloads:
        if word == payload.name or any(_pattern(place).fullmatch(word) for place in payload.places):
            return payload
    names = [name for payload in payloads for name in (payload.name, *payload.places)]
    near = get_close_matches(word, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "hotbandd schema lists what there is."
    raise UsageError(f"There is no payload {word[:60]!r}; {hint}")


def _pattern(place: str) -> re.Pattern[str]:
    """Return what the places of a pattern look like; the pattern itself is one of them."""
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(place)))
