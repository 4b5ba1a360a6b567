"""Whatever stands at a key that hotband reads: what it reads is what it could have written, or a sentence that names the key.

Each example is in a real server, under keys that a foreign writer, an old version or a broken disk may have left anything in.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Iterator
from math import isfinite
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.signals import ValkeySignals
from hotbandd.adapters.store.trials import ValkeyTrials
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core import listing
from hotbandd.core.documents import ClockAnchor, encode
from hotbandd.core.trial_documents import BestConfig, ReportDocument, TrialRun, TrialTrades
from hotbandd.errors import CorruptPayloadError
from tests.adapters import store_samples as samples
from tests.adapters.store_samples import AGES, PAIR, PARAM_KEY, START
from tests.archives import all_runs
from tests.fuzz.amount import examples
from tests.valkey import Guarded

LATER = START + 10**9
RUN = listing.run_id("0123456789ab", PAIR, PARAM_KEY)


class Desk:
    """Every reader, on one connection pool and one event loop; and the administrator, who puts things there."""

    def __init__(self, server: Guarded) -> None:
        self.runner = asyncio.Runner()
        self.runner.get_loop()
        self.raw = Redis.from_url(server.admin_url, protocol=2)
        backend = ValkeyBackend(server.url)
        store, trials, signals = DocumentStore(backend, AGES), ValkeyTrials(backend), ValkeySignals(backend, AGES)
        self._backend = backend
        self.readers: dict[str, tuple[str, Callable[[], Awaitable[Any]]]] = {
            "manifold": (keys.manifold(PAIR), lambda: store.manifold(PAIR)),
            "blob": (keys.GATES_BLOB, store.gates_blob),
            "weights": (keys.WEIGHTS, store.weights),
            "status": (keys.ALLOCATOR_STATUS, store.allocator_status),
            "state": (keys.gate_state(PAIR), lambda: store.gate_state(PAIR)),
            "summary": (keys.summary(PAIR), lambda: store.summary(PAIR)),
            "clock": (keys.CLOCK, store.clock),
            "leader": (keys.LEADER, store.leader),
            "kill switch": (keys.KILL_SWITCH, store.kill_switch),
            "candles": (keys.candles(PAIR, "M1"), lambda: store.candles(PAIR, "M1", 0, LATER)),
            "packed candles": (keys.packed_candles(PAIR, "M1"), lambda: store.candles(PAIR, "M1", 0, LATER)),
            "history": (keys.manifold_history(PAIR), lambda: store.manifold_history(PAIR, 0, LATER)),
            "evaluations": (
                keys.evaluations(PAIR, PARAM_KEY),
                lambda: store.evaluation_points(PAIR, PARAM_KEY, 0, LATER),
            ),
            "newest signal": (keys.signal_index(PAIR), lambda: signals.newest_signal(PAIR)),
            "day": (keys.manifold_day(PAIR, "2025-10-09"), lambda: signals.day(PAIR, "2025-10-09")),
            "runs": (keys.TRIAL_INDEX, lambda: all_runs(trials)),
            "run": (keys.trial_run(RUN), lambda: all_runs(trials)),
            "packs": (keys.TRIAL_PACKS, lambda: all_runs(trials)),
            "pack": (keys.trial_pack(RUN), lambda: all_runs(trials)),
            "trades": (keys.trial_trades("r"), lambda: trials.trades("r")),
            "best": (keys.best_config(PAIR), lambda: trials.best(PAIR)),
            "report": (keys.REPORT, trials.report),
            "finished": (keys.trial_progress("s"), lambda: trials.finished("s")),
            "started": (keys.trial_progress("s"), lambda: trials.started("s")),
        }

    def read(self, name: str) -> Any:
        """Read; the error of a corrupt payload instead of a value, which names its key."""
        key, reader = self.readers[name]

        async def ask() -> Any:
            try:
                return await reader()
            except CorruptPayloadError as error:
                return error

        found = self.runner.run(ask())
        if isinstance(found, CorruptPayloadError):
            assert str(found).startswith("The value at ")
            assert "\n" not in str(found)
            assert name == "run" or found.key == key
        return found

    def close(self) -> None:
        self.runner.run(self._backend.aclose())
        self.runner.close()
        self.raw.close()


@pytest.fixture(scope="module")
def desk(valkey: Guarded) -> Iterator[Desk]:
    found = Desk(valkey)
    yield found
    found.close()


@pytest.fixture(autouse=True)
def empty(desk: Desk) -> None:
    desk.raw.flushall()


SOUND: dict[str, Any] = {
    "manifold": samples.manifold(),
    "blob": samples.blob(),
    "weights": samples.weights(),
    "status": samples.status(),
    "state": samples.evaluation().states[PAIR],
    "summary": samples.summary(),
    "clock": ClockAnchor(anchor_wall=1, anchor_virtual=1, speed=60.0),
    "best": None,
    "report": None,
    "run": None,
    "trades": None,
}
KINDS = {"best": BestConfig, "report": ReportDocument, "run": TrialRun, "trades": TrialTrades}
NUMBERS = [0, -1, 2, 7, 0.5, -0.5, 1e300, -1e300, 2**53, 2**63, 2**64, 10**30]
WRONG = [
    None,
    True,
    False,
    *NUMBERS,
    "",
    "x",
    "1",
    "EUR_USD",
    "../x",
    "\0",
    [],
    {},
    [[]],
    {"": 0},
    {PAIR: 5},
    {"../x": 1},
]
SHORT = [
    b"",
    b"null",
    b"{",
    b"[]",
    b"NaN",
    b"1e999",
    b"\xff\xfe",
    b"\0",
    b'{"schema":2}',
    b'{"schema":1e0}',
    b'{"schema":1}',
]
TEXTS = [*SHORT, b"[" * 100_000, b'{"a":' * 50_000, b"1" * 1_000_000]
JSON = st.recursive(
    st.sampled_from(WRONG),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
ANYTHING = st.one_of(st.sampled_from(TEXTS), st.binary(max_size=60), JSON.map(json.dumps).map(str.encode))
SCORES = [START, START + 60_000, 0, -1, 2**53, 1e300, float("inf"), float("-inf"), 0.5]
MEMBERS = st.tuples(
    st.one_of(
        st.sampled_from(TEXTS[:-1]),
        st.sampled_from([RUN, f"{RUN}-0", RUN.upper(), f"-{PAIR}-", f"0-../x-{RUN}"]).map(str.encode),
        st.binary(max_size=40),
    ),
    st.one_of(st.sampled_from(SCORES), st.floats(allow_nan=False)),
)
SORTED_SETS = ["candles", "history", "evaluations", "newest signal", "runs", "packs"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Iterate over the places of a document."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in inner:
        yield from places(member, (*path, name))


def spoilt(value: Any, path: tuple[Any, ...], new: Any, how: str) -> Any:
    """Return a document with one place changed, removed, or named otherwise."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) > 1:
        copy[path[0]] = spoilt(copy[path[0]], path[1:], new, how)
    elif how == "gone":
        del copy[path[0]]
    elif how == "renamed" and isinstance(copy, dict):
        copy[f"{path[0]}x"] = copy.pop(path[0])
    else:
        copy[path[0]] = new
    return copy


def finite(value: Any) -> bool:
    """Tell whether no number in a value is infinite or none."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return all(map(finite, value)) if isinstance(value, list | tuple) else True


@given(st.data())
@examples(short=250, full=60_000)
def test_a_document_with_one_place_spoilt_is_refused_or_one_that_could_be_written(
    desk: Desk, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([name for name, sound in SOUND.items() if sound is not None]))
    document = json.loads(encode(SOUND[name]))
    place = data.draw(st.sampled_from(list(places(document))))
    changed = spoilt(document, place, data.draw(JSON), data.draw(st.sampled_from(["changed", "gone", "renamed"])))
    key = desk.readers[name][0]
    desk.raw.set(key, json.dumps(changed))
    found = desk.read(name)
    if isinstance(found, CorruptPayloadError):
        return
    assert type(found) is type(SOUND[name])
    assert finite(msgspec.to_builtins(found))
    if name == "weights":
        assert all(0 <= weight <= 1 for weight in found.weights.values())
    if name == "blob":
        assert set(found.gates.values()) <= {0, 1}
    desk.raw.set(key, encode(found))
    assert desk.read(name) == found


@given(st.sampled_from([*SOUND, "leader", "kill switch", "day"]), ANYTHING)
@examples(short=300, full=30_000)
def test_a_string_that_is_no_document_is_refused_and_never_opens_anything(desk: Desk, name: str, text: bytes) -> None:
    desk.raw.zadd(keys.TRIAL_INDEX, {RUN: START})
    desk.raw.zadd(keys.TRIAL_PACKS, {RUN: START})
    desk.raw.set(desk.readers[name][0], text)
    found = desk.read(name)
    if name == "kill switch":
        assert found is (text != b"0")
    elif name == "run":
        assert found == [] or text.startswith(b"{")
    elif name in {"weights", "blob", "status", "manifold", "best", "report", "trades"}:
        assert isinstance(found, CorruptPayloadError)


@given(st.sampled_from(SORTED_SETS), st.lists(MEMBERS, min_size=1, max_size=5))
@examples(short=300, full=30_000)
def test_members_that_are_none_are_left_out_and_counted(
    desk: Desk, name: str, members: list[tuple[bytes, float]]
) -> None:
    key = desk.readers[name][0]
    desk.raw.delete(key)
    desk.raw.zadd(key, dict(members))
    found = desk.read(name)
    if name == "candles":
        assert found.candles.size == 0
        inside = [score for member, score in dict(members).items() if 0 <= score < LATER]
        assert sum(found.refused.values()) == len(inside)
    elif name != "newest signal":
        assert found == []


DAYS = st.one_of(
    st.sampled_from(
        ["2025-10-09", "1970-01-01", "9999-12-31", "-0001-01-01", "now", "NaT", "2025-10", "2025-10-09T01"]
    ),
    st.text(st.characters(codec="ascii"), max_size=12),
)


@given(st.dictionaries(DAYS, st.binary(max_size=80), max_size=4))
@examples(short=300, full=30_000)
def test_packed_days_that_are_none_are_left_out_and_counted(desk: Desk, fields: dict[str, bytes]) -> None:
    desk.raw.flushall()
    if fields:
        desk.raw.hset(keys.packed_candles(PAIR, "M1"), mapping=dict(fields))
    found = desk.read("packed candles")
    assert found.candles.size == 0
    assert found.refused.get("corrupt", 0) == sum(name in {"2025-10-09", "1970-01-01"} for name in fields)


def test_sound_members_stand_among_the_others(desk: Desk) -> None:
    [row] = samples.candles(0).rows()
    desk.raw.zadd(
        keys.candles(PAIR, "M1"),
        {encode(row): row.t, b"garbage": row.t + 1, b"[" * 5000: row.t + 2, encode(row) + b" ": row.t + 3},
    )
    page = desk.read("candles")
    assert list(page.candles.rows()) == [row]
    assert page.refused == {"corrupt": 3}


@pytest.mark.parametrize("kind", ["string", "list", "hash", "set", "zset", "stream"])
def test_a_key_of_any_type_is_read_or_named(desk: Desk, kind: str) -> None:
    for name, (key, _) in desk.readers.items():
        desk.raw.flushall()
        if name == "run":
            desk.raw.zadd(keys.TRIAL_INDEX, {RUN: START})
        if name == "pack":
            desk.raw.zadd(keys.TRIAL_PACKS, {RUN: START})
        put: dict[str, Callable[[], Any]] = {
            "string": lambda key=key: desk.raw.set(key, b"\x80garbage"),
            "list": lambda key=key: desk.raw.rpush(key, "0"),
            "hash": lambda key=key: desk.raw.hset(key, "0", "0"),
            "set": lambda key=key: desk.raw.sadd(key, "0"),
            "zset": lambda key=key: desk.raw.zadd(key, {"0": 0}),
            "stream": lambda key=key: desk.raw.xadd(key, {"0": "0"}),
        }
        put[kind]()
        found = desk.read(name)
        if name == "kill switch":
            assert found is True
        elif not isinstance(found, CorruptPayloadError):
            assert not found or name in {"finished", "candles", "packed candles", "newest signal"}, (name, found)


def test_a_day_that_unfolds_without_bound_is_refused(desk: Desk) -> None:
    desk.raw.set(desk.readers["day"][0], gzip.compress(b"0" * 60_000_000))
    assert isinstance(desk.read("day"), CorruptPayloadError)
