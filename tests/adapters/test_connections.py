"""What a URL leads to: which connections, with which certificates."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Connection, SSLConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection

from hotbandd.adapters.store import connections
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.errors import RefusedError, SettingsError
from hotbandd.settings.valkey_url import several
from tests.adapters.store_samples import AGES
from tests.clusters import watched
from tests.valkey import PASSWORD


async def test_tls_is_spoken_to_sentinels_and_to_the_primary() -> None:
    url = "rediss+sentinel://me:pass@a,b/desk/2?ssl_ca_certs=/ca.pem&sentinel_username=w&sentinel_password=hush"
    client = connections.pooled(url)
    pool = client.connection_pool
    assert issubclass(pool.connection_class, SentinelManagedSSLConnection)
    assert {
        "db": 2,
        "username": "me",
        "password": "pass",
        "ssl_ca_certs": "/ca.pem",
    }.items() <= pool.connection_kwargs.items()
    for sentinel in pool.sentinel_manager.sentinels:
        assert sentinel.connection_pool.connection_class is SSLConnection
        asked = {"username": "w", "password": "hush", "ssl_ca_certs": "/ca.pem"}
        assert asked.items() <= sentinel.connection_pool.connection_kwargs.items()
    await client.aclose()


def test_tls_is_spoken_to_the_nodes_of_a_cluster() -> None:
    found = several("rediss+cluster://me:pass@a?ssl_ca_certs=/ca.pem")
    for client in (connections.node("::1", 7, found), connections.single_node("::1", 7, found, 1.0)):
        pool = client.connection_pool
        assert issubclass(pool.connection_class, SSLConnection)
        expected = {"host": "::1", "port": 7, "username": "me", "password": "pass", "ssl_ca_certs": "/ca.pem"}
        assert expected.items() <= pool.connection_kwargs.items()


WORDS = st.lists(st.text() | st.binary() | st.integers(-(2**63), 2**63), max_size=5)


@given(st.sampled_from(["GET", "CONFIG SET", "EVALSHA"]), WORDS)
def test_commands_are_packed_as_the_client_packs_them_itself(command: str, words: list[str | bytes | int]) -> None:
    mine, plain = connections.single("redis://a", 1.0).connection_pool.make_connection(), Connection(protocol=2)
    assert b"".join(mine.pack_command(command, *words)) == b"".join(plain.pack_command(command, *words))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis+sentinel://me:pass@a:1,b:2/desk/3?sentinel_password=hush", "a:1,b:2/desk"),
        ("rediss+cluster://me:pass@a:1,b:2", "a:1,b:2 (TLS)"),
    ],
)
def test_a_place_is_named_without_secrets(url: str, place: str) -> None:
    assert connections.place(url) == place


def test_what_is_no_address_of_a_server_is_told() -> None:
    with pytest.raises(SettingsError, match="VALKEY_URL is not a usable address"):
        connections.pooled("http://a")


async def test_a_sentinel_s_own_users_are_told_apart_from_the_server_s(tmp_path: Path) -> None:
    with watched(tmp_path, sentinels=1) as made:
        async with open_valkey(made.url, AGES) as store:
            await store.ping()
            assert await store.acquire_lease("me", 1000)
        wrong = made.url.replace(f"sentinel_password={PASSWORD}", "sentinel_password=another")
        async with open_valkey(wrong, AGES) as store:
            with pytest.raises(
                RefusedError, match=r"The Sentinels of .*/desk refuse access; check sentinel_username"
            ) as caught:
                await store.ping()
            assert "another" not in str(caught.value)
        wrong = made.url.replace(f"hotband:{PASSWORD}@", "hotband:another@")
        async with open_valkey(wrong, AGES) as store:
            with pytest.raises(RefusedError, match="check the user and password in VALKEY_URL"):
                await store.ping()
