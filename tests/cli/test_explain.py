"""``hotbandd explain``: one screen about one gate."""

from __future__ import annotations

import json

import msgspec
import pytest
from redis import Redis

from hotbandd.core.documents import encode
from tests.adapters import store_samples as samples
from tests.cli.conftest import sentences
from tests.valkey import owner

PAIR = samples.PAIR


@pytest.fixture
def published(tmp_path):
    """Publish an evaluation of one instrument."""
    with owner(tmp_path) as server:
        summary = msgspec.structs.replace(samples.summary(), summary={"14": samples.SPAN, "30": samples.SPAN})
        with Redis(unix_socket_path=server.url.removeprefix("unix://"), protocol=2) as redis:
            redis.set("opt:rolling:gates_blob", encode(samples.blob()))
            redis.set(f"bt:rolling:summary:{PAIR}", encode(summary))
            redis.set(f"ws:last:manifold:{PAIR}", encode(samples.manifold()))
            redis.set("risk:allocation_weights", encode(samples.weights()))
        yield


def test_a_person_sees_gate_floors_and_guards_on_one_screen(cli, published):
    ended = cli("explain", PAIR)
    assert ended.code == 0, ended.err
    for part in (PAIR, "gate", "session", "cooldown", "trades, 30 days", "passes from", "coherence", "≥ 0.55", "→"):
        assert part in ended.out
    assert len(ended.out.splitlines()) <= 40


def test_a_program_gets_the_same_as_json(cli, published):
    found = json.loads(cli("explain", PAIR, "--json").out)
    assert found["instrument"] == PAIR
    assert found["figures"][0]["name"] == "trades, 30 days"
    assert found["guards"][0]["met"] is True
    assert found["flip"]


def test_an_instrument_that_nothing_is_published_about_is_unhealthy(cli, published):
    ended = cli("explain", "AUD_NZD")
    assert ended.code == 4
    assert sentences(ended).startswith("Nothing is published about AUD_NZD")


def test_a_name_that_is_none_and_a_server_that_is_not_there(cli):
    assert cli("explain", "eurusd").code == 2
    assert cli("explain", PAIR).code == 3
