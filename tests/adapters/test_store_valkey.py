"""What only a real Valkey shows: its faults, its types, its expiries, and connections that break."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable

import anyio
import msgspec
import pytest
import redis.exceptions as foreign
from redis.asyncio import Redis

from hotbandd.adapters.store import connections, keys, subscription, valkey
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.failures import translated
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core.documents import ClockAnchor, GatesBlob
from hotbandd.errors import CorruptPayloadError, RefusedError, SettingsError, StoreUnreachableError
from hotbandd.ports import Lease, Outcome
from tests.adapters import store_samples as samples
from tests.adapters.store_samples import AGES, PAIR, PARAM_KEY, START
from tests.valkey import as_user, eventually


@pytest.fixture
async def lease(valkey_store: DocumentStore) -> Lease:
    lease = await valkey_store.acquire_lease("first", 60_000)
    assert lease is not None
    return lease


FAULTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "OOM": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "READONLY": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "NOREPLICAS": (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_server_that_takes_no_writes_is_unreachable_until_it_heals_and_keeps_no_half(
    raw: Redis, valkey_store: DocumentStore, lease: Lease, fault: str
) -> None:
    ill, healthy = FAULTS[fault]
    await valkey_store.publish_evaluation(lease, samples.evaluation(seq=1))
    await raw.execute_command(*ill)
    try:
        with pytest.raises(StoreUnreachableError):
            await valkey_store.publish_evaluation(lease, samples.evaluation(START + 1, seq=2))
        with pytest.raises(StoreUnreachableError):
            await valkey_store.put_candles(PAIR, "M1", samples.candles(0))
        assert await raw.get(keys.fence("gates")) == b"1:1"
        assert await valkey_store.gates_blob() == samples.blob(seq=1)
    finally:
        await raw.execute_command(*healthy)
    again = await valkey_store.acquire_lease("first", 60_000)
    assert again is not None
    assert await valkey_store.publish_evaluation(again, samples.evaluation(START + 1, seq=2)) is Outcome.PUBLISHED


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            foreign.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
            StoreUnreachableError,
        ),
        (foreign.ResponseError("BUSY Valkey is busy running a script"), StoreUnreachableError),
        (foreign.BusyLoadingError("Valkey is loading the dataset in memory"), StoreUnreachableError),
        (foreign.ConnectionError("Connection closed by server."), StoreUnreachableError),
        (foreign.InvalidResponse("Protocol error"), StoreUnreachableError),
        (TimeoutError(), StoreUnreachableError),
        (RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed"), StoreUnreachableError),
        (foreign.AuthenticationError("Authentication required."), RefusedError),
        (foreign.ResponseError("unknown command 'EVALSHA'"), RefusedError),
        (foreign.ResponseError("WRONGTYPE Operation against a key"), CorruptPayloadError),
    ],
)
def test_every_failure_asks_for_the_right_reaction(error: Exception, expected: type[Exception]) -> None:
    found = translated(error, "localhost:6379", "some:key")
    assert type(found) is expected
    assert ("some:key" if expected is CorruptPayloadError else "localhost:6379") in str(found)


async def test_a_key_of_another_type_stops_a_publication_before_it_began(
    raw: Redis, valkey_store: DocumentStore, lease: Lease
) -> None:
    key = keys.evaluations(PAIR, PARAM_KEY)
    await raw.set(key, "garbage")
    with pytest.raises(CorruptPayloadError) as caught:
        await valkey_store.publish_evaluation(lease, samples.evaluation())
    assert caught.value.key == key
    assert await valkey_store.gates_blob() is None
    await raw.delete(key)
    assert await valkey_store.publish_evaluation(lease, samples.evaluation()) is Outcome.PUBLISHED


async def test_a_document_of_another_type_is_overwritten(raw: Redis, valkey_store: DocumentStore, lease: Lease) -> None:
    await raw.rpush(keys.manifold(PAIR), "garbage")
    with pytest.raises(CorruptPayloadError, match=keys.manifold(PAIR)):
        await valkey_store.manifold(PAIR)
    assert await valkey_store.publish_manifold(lease, samples.update()) is Outcome.PUBLISHED
    assert await valkey_store.manifold(PAIR) == samples.manifold()


async def test_a_kill_switch_of_another_type_counts_as_engaged(raw: Redis, valkey_store: DocumentStore) -> None:
    await raw.rpush(keys.KILL_SWITCH, "0")
    assert await valkey_store.kill_switch() is True


async def test_every_member_of_a_minute_gives_way_to_the_new_candle(raw: Redis, valkey_store: DocumentStore) -> None:
    key = keys.candles(PAIR, "M1")
    await raw.zadd(key, {"garbage": START, "more": START})
    await valkey_store.put_candles(PAIR, "M1", samples.candles(0))
    assert await raw.zcard(key) == 1


async def test_a_candle_is_stored_as_the_contract_says(raw: Redis, valkey_store: DocumentStore) -> None:
    await valkey_store.put_candles(PAIR, "M1", samples.candles(0, quoted=False))
    assert await raw.zrange("md:candles:EUR_USD:M1", 0, -1, withscores=True) == [
        (b'{"t":1760000040000,"o":1.1,"h":1.1001,"l":1.0999,"c":1.1,"v":12.0}', START)
    ]


async def test_a_signal_is_a_hash_of_plain_values(raw: Redis, valkey_store: DocumentStore, lease: Lease) -> None:
    await valkey_store.publish_manifold(lease, samples.update())
    assert await raw.hgetall(f"sep:signal:EUR_USD:{START}000000") == {
        b"ts_ns": b"%d000000" % START,
        b"price": b"1.1",
        b"state": b"live",
        b"coherence": b"0.5",
        b"stability": b"0.25",
        b"entropy": b"0.5",
        b"rupture": b"0.5",
        b"lambda": b"0.1",
        b"signature": b"s",
    }


@pytest.mark.parametrize("speed", [1.0, 60.0, 1e9])
async def test_every_key_lives_as_long_as_the_contract_says_divided_by_the_speed(
    raw: Redis, valkey_url: str, speed: float
) -> None:
    day = 86_400.0
    lives = {
        keys.manifold(PAIR): 300.0,
        keys.signal(PAIR, START * 1_000_000): 7 * day,
        keys.GATES_BLOB: 1800.0,
        keys.eligible(PAIR): 1800.0,
        keys.cooldown(PAIR): 7200.0,
        keys.summary(PAIR): 3600.0,
        keys.ALLOCATOR_STATUS: 1200.0,
    }
    endless = (keys.WEIGHTS, keys.gate_state(PAIR), keys.manifold_history(PAIR), keys.EPOCH, keys.fence("gates"))
    async with open_valkey(valkey_url, AGES, speed=speed) as store:
        lease = await store.acquire_lease("first", 60_000)
        assert lease is not None
        await store.publish_manifold(lease, samples.update())
        await store.publish_evaluation(lease, samples.evaluation(cooldown_until=START + 7_200_000))
        await store.publish_allocation(lease, samples.weights(), samples.status())
        await store.set_clock(ClockAnchor(anchor_wall=1, anchor_virtual=1, speed=speed))
        left = {key: await raw.pttl(key) for key in lives}
        assert await raw.pttl(keys.CLOCK) == pytest.approx(60_000, abs=900)
        assert await raw.pttl(keys.LEADER) == pytest.approx(60_000, abs=900)
        assert [await raw.pttl(key) for key in endless] == [-1] * len(endless)
    assert left == {key: pytest.approx(max(1000, 1000 * life / speed), abs=900) for key, life in lives.items()}


async def test_nobody_reads_half_a_publication(raw: Redis, valkey_store: DocumentStore, lease: Lease) -> None:
    seen: set[int] = set()

    async def publish() -> None:
        for seq in range(300):
            await valkey_store.publish_evaluation(lease, samples.evaluation(START + seq, seq=seq))

    async def read() -> None:
        while START + 299 not in seen:
            blob, state, summary = await raw.mget(keys.GATES_BLOB, keys.gate_state(PAIR), keys.summary(PAIR))
            if blob is not None:
                ts = b"%d" % _ts(blob)
                assert ts in state
                assert ts in summary
                seen.add(int(ts))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(publish)
            group.start_soon(read)
    assert len(seen) > 1


def _ts(raw: bytes) -> int:
    return msgspec.json.decode(raw, type=GatesBlob).ts


async def test_scripts_come_back_after_the_server_forgot_them(
    raw: Redis, valkey_store: DocumentStore, lease: Lease
) -> None:
    await raw.script_flush()
    assert await valkey_store.publish_evaluation(lease, samples.evaluation()) is Outcome.PUBLISHED


async def test_calls_go_on_after_their_connections_were_cut(raw: Redis, valkey_store: DocumentStore) -> None:
    await valkey_store.set_kill_switch(engaged=False)
    for _ in range(5):
        await raw.client_kill_filter(_type="normal", skipme=True)
        assert await valkey_store.kill_switch() is False


async def test_cancelled_calls_leave_no_wrong_reply_and_no_connection_behind(valkey_url: str, raw: Redis) -> None:
    backend = ValkeyBackend(valkey_url)
    await raw.mset({f"bt:trial:run:{n}": str(n) for n in range(50)})
    wrong: list[tuple[int, bytes | None]] = []

    async def ask(number: int, *, cancelled_after: float) -> None:
        with anyio.move_on_after(cancelled_after):
            reply = await backend.get(f"bt:trial:run:{number}")
            if reply != b"%d" % number:
                wrong.append((number, reply))

    for turn in range(40):
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(lambda n=number, t=turn: ask(n, cancelled_after=(n * t % 97) * 5e-5))
    for number in range(50):
        await ask(number, cancelled_after=5)
    assert wrong == []
    clients = [client for client in await raw.client_list() if client["id"] != str(await raw.client_id())]
    assert len(clients) <= connections.CONNECTIONS
    await backend.aclose()


@pytest.fixture
async def stopped(raw: Redis) -> AsyncIterator[Callable[[], None]]:
    """Return how to stop the server in its tracks; it goes on after the test."""
    process = int((await raw.info("server"))["process_id"])
    yield lambda: os.kill(process, signal.SIGSTOP)
    os.kill(process, signal.SIGCONT)


async def test_a_server_that_hangs_is_unreachable_after_the_deadline(
    valkey_store: DocumentStore, stopped: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    await valkey_store.ping()
    monkeypatch.setattr(valkey, "DEADLINE_SEC", 0.3)
    stopped()
    began = time.monotonic()
    with pytest.raises(StoreUnreachableError):
        await valkey_store.ping()
    assert time.monotonic() - began < 1


async def test_a_subscription_to_a_server_that_hangs_says_so(
    valkey_store: DocumentStore, stopped: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PING_SEC", 0.1)
    monkeypatch.setattr(subscription, "SILENCE_SEC", 0.4)
    with anyio.fail_after(5):
        async with valkey_store.subscribe([keys.GATES_CHANNEL]) as messages:
            stopped()
            with pytest.raises(StoreUnreachableError, match="silent"):
                await anext(messages)


async def test_a_quiet_subscription_to_a_server_that_answers_goes_on(
    raw: Redis, valkey_store: DocumentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PING_SEC", 0.05)
    monkeypatch.setattr(subscription, "SILENCE_SEC", 0.2)
    async with valkey_store.subscribe([keys.GATES_CHANNEL]) as messages, anyio.create_task_group() as group:
        group.start_soon(_publish_later, raw)
        assert await anext(messages) == (keys.GATES_CHANNEL, b"at last")


async def _publish_later(raw: Redis) -> None:
    async def pinged() -> bool:
        commands = await raw.info("commandstats")
        return commands.get("cmdstat_ping", {"calls": 0})["calls"] >= 10

    await raw.config_resetstat()
    await eventually(pinged)
    await raw.publish(keys.GATES_CHANNEL, b"at last")


async def test_a_subscription_whose_connection_is_cut_says_so(raw: Redis, valkey_store: DocumentStore) -> None:
    with anyio.fail_after(5):
        async with valkey_store.subscribe([keys.GATES_CHANNEL]) as messages:
            await raw.client_kill_filter(_type="pubsub")
            with pytest.raises(StoreUnreachableError):
                await anext(messages)


async def test_a_server_that_is_not_there_is_unreachable_and_no_secret_is_told() -> None:
    async with open_valkey("redis://:hush@127.0.0.1:1/0", AGES) as store:
        with pytest.raises(StoreUnreachableError, match=r"127\.0\.0\.1:1") as caught:
            await store.ping()
        assert "hush" not in str(caught.value)
        with pytest.raises(StoreUnreachableError):
            async with store.subscribe([keys.GATES_CHANNEL]):
                pass


async def test_a_wrong_password_is_refused_without_telling_it(valkey_url: str, raw: Redis) -> None:
    async with open_valkey(as_user(valkey_url, "nobody", "hush"), AGES) as store:
        with pytest.raises(RefusedError, match="VALKEY_URL") as caught:
            await store.ping()
    assert "hush" not in str(caught.value)


async def test_a_user_without_rights_is_refused(valkey_url: str, raw: Redis) -> None:
    await raw.execute_command("ACL", "SETUSER", "guest", "on", ">pass", "+ping", "+get", "~ws:*")
    try:
        async with open_valkey(as_user(valkey_url, "guest", "pass"), AGES) as store:
            assert await store.manifold(PAIR) is None
            with pytest.raises(RefusedError):
                await store.set_kill_switch(engaged=False)
    finally:
        await raw.execute_command("ACL", "DELUSER", "guest")


async def test_an_address_of_nothing_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="VALKEY_URL"):
        async with open_valkey("http://localhost", AGES):
            pass
