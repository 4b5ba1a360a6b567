"""What hotband publishes is what its schemas say, and what they do not say is refused: documents of a real run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from jsonschema import Draft202012Validator
from redis import Redis

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.asyncapi import description
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.adapters.store.payloads import PAYLOADS, Payload, find, schema_of
from hotbandd.core.documents import ClockAnchor, encode
from tests.adapters import store_samples as samples
from tests.processes import hotbandd, running
from tests.schemas.published import shortened, spoilt, stored
from tests.valkey import owner

SETTINGS = {
    "HOTBAND_SOURCE": "simulated",
    "CANDLE_HOT_DAYS": "35",
    "HOTBAND_PAIRS": "EUR_USD,USD_JPY",
    "LEASE_TTL_SEC": "2",
}
SPEC = b"window_days: 30\ndefaults: {c_min: [0.2, 0.3]}\ninstruments: [{instrument: EUR_USD}]\n"
WITHOUT_A_RUN = {"snapshot-allocation", "snapshot-account", "snapshot-open-trades", "live-params"}  # files: below


class Run(NamedTuple):
    """Values by payload with the keys that hold them, messages as (channel, value), and the home with its files."""

    values: dict[str, list[tuple[str, Any]]]
    messages: list[tuple[str, Any]]
    home: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the daemon and the toolchain, listen, and read all that there is afterwards."""
    home = tmp_path_factory.mktemp("home")
    with owner(tmp_path_factory.mktemp("valkey")) as server:
        settings = {**SETTINGS, "VALKEY_URL": server.url}
        with (
            Redis(unix_socket_path=server.url.removeprefix("unix://"), protocol=2) as valkey,
            listening(valkey) as heard,
        ):
            with running(home, **settings) as daemon:
                daemon.event("allocator.published")
                daemon.event("evaluator.published")
                for words, stdin in (
                    (("warmup", "--steps", "prime", "--days", "1"), b""),
                    (("trials", "-"), SPEC),
                    (("report", "--min-trades", "0"), b""),
                    (("promote",), b""),
                ):
                    ended = hotbandd(home, *words, stdin=stdin, **settings)
                    assert ended.code == 0, ended.err
            anyio.run(rarely_published, server.url)
            values: dict[str, list[tuple[str, Any]]] = {}
            for payload, key, value in stored(valkey, schema_of):
                values.setdefault(payload.name, []).append((key, value))
            yield Run(values, heard, home)


class listening:  # noqa: N801  used as a function
    """Listen to every channel of the catalogue."""

    def __init__(self, valkey: Redis) -> None:
        self._pubsub = valkey.pubsub()
        self._heard: list[tuple[str, Any]] = []

    def __enter__(self) -> list[tuple[str, Any]]:
        self._pubsub.psubscribe("*")
        confirmed = self._pubsub.get_message(timeout=5)
        assert confirmed is not None
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self._heard

    def _listen(self) -> None:
        for message in self._pubsub.listen():
            if message["type"] == "pmessage":
                self._heard.append((message["channel"].decode(), json.loads(message["data"])))
            if message["type"] == "punsubscribe":
                return

    def __exit__(self, *_: object) -> None:
        self._pubsub.punsubscribe()
        self._thread.join()
        self._pubsub.close()


async def rarely_published(url: str) -> None:
    """Publish what no short run has: a cooldown, a clock that runs fast, a lock."""
    async with open_valkey(url, samples.AGES) as store:
        await store.set_clock(ClockAnchor(anchor_wall=1, anchor_virtual=2, speed=60.0))
        lease = await store.acquire_lease("me", 60_000)
        while lease is None:
            await anyio.sleep(0.1)
            lease = await store.acquire_lease("me", 60_000)
        later = 4_000_000_000_000
        await store.publish_evaluation(lease, samples.evaluation(later, lease.epoch, cooldown_until=later + 60_000))


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda each: each.name)
def test_a_schema_is_one_and_says_what_everything_is(payload: Payload) -> None:
    schema = schema_of(payload)
    Draft202012Validator.check_schema(schema)
    assert schema["description"]
    for part in schema.get("$defs", {}).values():
        assert part["description"]


@pytest.mark.parametrize(
    "payload", [each for each in PAYLOADS if each.kept and each.name not in WITHOUT_A_RUN], ids=lambda each: each.name
)
def test_everything_that_is_stored_is_what_its_schema_says(run: Run, payload: Payload) -> None:
    schema = schema_of(payload)
    validator = Draft202012Validator(schema)
    values = run.values.get(payload.name, [])
    if payload.name not in {"trial-lock", "trial-progress", "trial-trades"}:  # gone after a run that went well
        assert values
    for key, value in values:
        faults = [f"{list(fault.absolute_path)}: {fault.message}" for fault in validator.iter_errors(value)]
        assert faults == [], key
    for key, value in values[:1] + values[-1:]:
        accepted = [what for what, other in spoilt(shortened(value), schema, schema) if validator.is_valid(other)]
        assert accepted == [], key


def test_messages_are_what_the_channels_say(run: Run) -> None:
    document = description()
    addresses = {channel["address"]: channel["messages"] for channel in document["channels"].values()}
    heard = {channel.replace("EUR_USD", "{inst}") for channel, _ in run.messages}
    assert heard == set(addresses)
    for channel, value in run.messages:
        ((name, _),) = addresses[channel.replace("EUR_USD", "{inst}")].items()
        schema = {**document["components"]["messages"][name]["payload"], "components": document["components"]}
        Draft202012Validator(schema).validate(value)
        assert not Draft202012Validator(schema).is_valid({**value, "ts": "yesterday"})


def test_a_message_is_the_document_that_its_key_holds(run: Run) -> None:
    last = dict(run.messages)
    assert [value for _, value in run.values["weights"]] == [last[keys.WEIGHTS_CHANNEL]]
    newest = {value["instrument"]: value for channel, value in run.messages if channel == keys.MANIFOLD_CHANNEL}
    assert [newest[value["instrument"]] for _, value in run.values["manifold"]] == [
        v for _, v in run.values["manifold"]
    ]


def test_files_are_what_their_schemas_say(run: Run) -> None:
    from ruamel.yaml import YAML

    document = YAML(typ="safe").load(run.home / "config" / "live_params.yaml")
    live = Draft202012Validator(schema_of(find("config/live_params.yaml")))
    live.validate(document)
    assert document["instruments"]
    assert not live.is_valid({"instruments": {"EUR_USD": {"params": {"c_minimum": 0.5}}}})
    day = next((run.home / "output" / "manifolds").rglob("*.json"))
    Draft202012Validator(schema_of(find(str(day.relative_to(run.home))))).validate(json.loads(day.read_text()))


def test_a_snapshot_is_what_its_schema_says() -> None:
    from hotbandd.core.file_documents import SnapshotAllocation

    validator = Draft202012Validator(schema_of(find("docs/reports/snapshots/20260101T000000Z_allocation.json")))
    written = json.loads(encode(SnapshotAllocation(ts=1, weights=samples.weights(), status=samples.status())))
    validator.validate(written)
    validator.validate({**written, "status": None})
    assert not validator.is_valid({**written, "weights": None})
