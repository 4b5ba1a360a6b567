"""``config/valkey/users.acl``: what hotband's user may do is what hotband does, and no more.

The whole suite runs under this user; here is what it is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.errors import RefusedError
from tests.adapters.store_samples import AGES, PAIR
from tests.valkey import USERS, Guarded, as_user

SAMPLES: dict[str, Any] = {
    "instrument": PAIR,
    "granularity": "M1",
    "ts_ns": 1_760_000_000_000_000_000,
    "day": "2025-10-09",
    "param_key": "global",
    "document": "gates",
    "key": keys.GATES_BLOB,
    "run_id": "r1",
    "pack_id": "r1",
    "spec": "s1",
    "name": "GLOBAL",
}


def named() -> dict[str, list[str]]:
    """Return every key and every channel that hotband names, by kind."""
    texts = {name: value for name, value in vars(keys).items() if isinstance(value, str) and name.isupper()}
    made = {
        name: function(*(SAMPLES[parameter] for parameter in inspect.signature(function).parameters))
        for name, function in vars(keys).items()
        if inspect.isfunction(function) and function.__module__ == keys.__name__
    }
    made.pop("manifold_fence")  # a name within the key of a fence
    documents = {keys.fence(keys.manifold_fence(PAIR)), *made.values(), *texts.values()}
    documents -= {keys.GATES_FENCE, keys.WEIGHTS_FENCE}
    channels = {name for name in documents if name.startswith(("ws:manifold", "ws:gates", "ws:weights", "opt:live"))}
    channels -= {keys.manifold_history(PAIR)}
    return {"key": sorted(documents - channels), "channel": sorted(channels)}


@pytest.fixture
async def user(raw: Redis, valkey_url: str) -> AsyncIterator[Redis]:
    """Return a plain client of hotband's user."""
    async with Redis.from_url(valkey_url, protocol=2) as client:
        yield client


@pytest.mark.parametrize("key", named()["key"])
async def test_every_key_of_ours_is_granted_and_its_neighbours_are_not(raw: Redis, key: str) -> None:
    assert await raw.execute_command("ACL", "DRYRUN", "hotband", "SET", key, "1") == b"OK"
    fixed = [f"{key}x"] if key in vars(keys).values() else []
    for foreign in (*fixed, f"x{key}", key.replace(":", ".", 1), f" {key}", key[: key.index(":")], key.upper()):
        assert b"permissions" in await raw.execute_command("ACL", "DRYRUN", "hotband", "GET", foreign), foreign


@pytest.mark.parametrize("channel", named()["channel"])
async def test_every_channel_of_ours_is_granted_and_its_neighbours_are_not(raw: Redis, channel: str) -> None:
    for command in (("PUBLISH", channel, "1"), ("SUBSCRIBE", channel)):
        assert await raw.execute_command("ACL", "DRYRUN", "hotband", *command) == b"OK"
    assert b"permissions" in await raw.execute_command("ACL", "DRYRUN", "hotband", "PUBLISH", f"x{channel}", "1")


REFUSED = (
    "CONFIG GET dir",
    "CONFIG SET dir /tmp",
    "EVAL return(1) 0",
    "EVAL_RO return(1) 0",
    "FCALL f 0",
    "FUNCTION LOAD x",
    "SCRIPT FLUSH",
    "SCRIPT KILL",
    "FLUSHALL",
    "FLUSHDB",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "ACL LIST",
    "ACL SETUSER hotband allkeys",
    "ACL WHOAMI",
    "SHUTDOWN NOSAVE",
    "SAVE",
    "BGREWRITEAOF",
    "REPLICAOF 127.0.0.1 1",
    "FAILOVER",
    "SYNC",
    "MODULE LIST",
    "MONITOR",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "CLIENT PAUSE 1",
    "SLOWLOG GET",
    "LATENCY RESET",
    "MEMORY PURGE",
    "SWAPDB 0 1",
    "MIGRATE 127.0.0.1 1 ops:kill_switch 0 1",
    "RESTORE opt:rolling:gates_blob 0 x",
    "DUMP opt:rolling:gates_blob",
    "RENAME opt:rolling:gates_blob ws:last:manifold:EUR_USD",
    "COPY opt:rolling:gates_blob ws:last:manifold:EUR_USD",
    "SORT md:candles:EUR_USD:M1 BY x:*",
    "PSUBSCRIBE *",
    "PUBSUB CHANNELS",
    "OBJECT FREQ ops:kill_switch",
    "APPEND ops:kill_switch 1",
    "GETDEL ops:kill_switch",
    "GET foreign",
    "SET foreign 1",
    "DEL opt:rolling:gates_blob foreign",
    "MGET opt:rolling:gates_blob foreign",
    "PUBLISH foreign 1",
    "SUBSCRIBE foreign",
    "SUBSCRIBE ws:gates foreign",
)


@pytest.mark.parametrize("line", REFUSED)
async def test_whatever_hotband_does_not_need_is_refused(user: Redis, line: str) -> None:
    with pytest.raises(NoPermissionError):
        await user.execute_command(*line.split())
    await user.aclose()
    assert await user.ping()


async def test_what_the_server_has_turned_off_is_refused_to_the_user_as_well(raw: Redis) -> None:
    assert b"no permissions" in await raw.execute_command("ACL", "DRYRUN", "hotband", "DEBUG", "SLEEP", "0")


async def test_a_script_can_do_no_more_than_its_caller(user: Redis, raw: Redis) -> None:
    await raw.set("foreign", "1")
    for body in ("return redis.call('GET', 'foreign')", "return redis.call('FLUSHALL')"):
        loaded = await user.script_load(body)
        with pytest.raises(ResponseError, match="ACL failure"):
            await user.evalsha(loaded, 0)
    assert await raw.get("foreign") == b"1"


async def test_a_script_that_lacks_rights_says_so_and_where_they_stand(raw: Redis, valkey: Guarded) -> None:
    await raw.execute_command("ACL", "SETUSER", "poor", "on", ">pass", "~*", "+@all", "-pexpire", "-set")
    try:
        backend = ValkeyBackend(as_user(valkey.url, "poor", "pass"))
        with pytest.raises(RefusedError, match=r"too few rights for hotband:leader .*users\.acl"):
            await backend.acquire("me", 1000, 0)
        with pytest.raises(RefusedError, match=r"too few rights for ops:kill_switch .*users\.acl"):
            await backend.set(keys.KILL_SWITCH, b"1")
        await backend.aclose()
    finally:
        await raw.execute_command("ACL", "DELUSER", "poor")


@pytest.mark.parametrize("user_name", ["default", "hotband", "admin", "replica", "sentinel"])
async def test_no_user_of_the_shipped_file_can_enter_before_it_is_given_a_password(
    raw: Redis, valkey: Guarded, user_name: str
) -> None:
    """The file as it is, under other names, on a server that is up."""
    line = next(line for line in USERS.read_text().splitlines() if line.startswith(f"user {user_name} "))
    await raw.execute_command("ACL", "SETUSER", "shipped", *line.split()[2:])
    try:
        for password in ("", "hotband", "x"):
            with pytest.raises(AuthenticationError):
                await raw.execute_command("AUTH", "shipped", password)
    finally:
        await raw.execute_command("ACL", "DELUSER", "shipped")


async def test_nobody_is_let_in_without_a_name(valkey: Guarded) -> None:
    bare = valkey.url.replace("unix://hotband:", "unix://:")
    async with open_valkey(bare, AGES) as store:
        with pytest.raises(RefusedError, match="VALKEY_URL"):
            await store.ping()
