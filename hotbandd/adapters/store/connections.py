"""The one place that opens connections: to a server, or to the primary that Sentinels name."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.connection import HiredisRespSerializer

from hotbandd.adapters.store import tls
from hotbandd.errors import SettingsError
from hotbandd.settings import valkey_url
from hotbandd.settings.urls import split

CONNECTIONS = 8
SOCKET_SEC = 1.0  # one reply, one connection, or one free place in the pool: half of what a recovery may take
SENTINEL_SEC = 0.5  # one answer of a Sentinel: of three, two may be silent
RETRIES = 3
Pool = TypeVar("Pool", bound=ConnectionPool)

_PROTOCOL = 2  # with RESP3 a connection left in mid-reply is not noticed


def pooled(url: str) -> Redis:
    """Return a client with a bounded pool, for which calls wait, and which tries again; it connects with the first call."""
    retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), RETRIES)
    return _client(
        url,
        max_connections=CONNECTIONS,
        timeout=SOCKET_SEC,
        socket_timeout=SOCKET_SEC,
        socket_connect_timeout=SOCKET_SEC,
        health_check_interval=15,
        retry=retry,
    )


def single(url: str, seconds: float) -> Redis:
    """Return a client for one connection that is given up at its first failure, and waited for some seconds."""
    return _client(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0))


def node(host: str, port: int, found: valkey_url.Several) -> Redis:
    """Return a client of one node of a cluster, whose calls its caller tries again."""
    pool = BlockingConnectionPool.from_url(
        _base(found, host, port),
        protocol=_PROTOCOL,
        max_connections=CONNECTIONS,
        timeout=SOCKET_SEC,
        socket_timeout=SOCKET_SEC,
        socket_connect_timeout=SOCKET_SEC,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
        username=found.username,
        password=found.password,
        **_tls_files(found),
    )
    return Redis.from_pool(_packing(pool))


def single_node(host: str, port: int, found: valkey_url.Several, seconds: float) -> Redis:
    """Return a client for one connection to a node of a cluster, as ``single`` does to a server."""
    options: dict[str, Any] = {"username": found.username, "password": found.password, **_tls_files(found)}
    options |= {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry": Retry(NoBackoff(), 0)}
    return Redis.from_url(_base(found, host, port), protocol=_PROTOCOL, **options)


def place(url: str) -> str:
    """Return where a URL points to, without user and password."""
    parts = split(url)
    server = parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]
    if valkey_url.layout(url) == "sentinel":
        server += f"/{valkey_url.several(url).master}"
    return tls.named(server) if parts.scheme.startswith("rediss") else server


def _client(url: str, **options: Any) -> Redis:
    try:
        if valkey_url.layout(url) == "sentinel":
            return _primary(valkey_url.several(url), options)
        return Redis.from_pool(_packing(BlockingConnectionPool.from_url(url, protocol=_PROTOCOL, **options)))
    except ValueError as error:
        raise SettingsError(f"VALKEY_URL is not a usable address of a server: {error}.") from error


class _Packing:
    """A connection that packs commands with hiredis, as redis-py's other client does: the asynchronous one is five times as slow."""

    _serializer: Final = HiredisRespSerializer()

    def pack_command(self, *words: Any) -> list[bytes]:
        packed: list[bytes] = self._serializer.pack(*words)
        return packed


def _packing(pool: Pool) -> Pool:
    """Let the connections of a pool pack their commands so."""
    plain = pool.connection_class
    pool.connection_class = type(plain.__name__, (_Packing, plain), {})
    return pool


class _PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Waits for a free connection, as the pool of one server does; each new connection asks the Sentinels where the primary is."""

    async def aclose(self) -> None:
        """Close the connections to the primary, and to the Sentinels."""
        try:
            await super().aclose()
        finally:
            await self.sentinel_manager.aclose()


def _primary(found: valkey_url.Several, options: dict[str, Any]) -> Redis:
    secured: dict[str, Any] = {"ssl": True, **_tls_files(found)} if found.tls else {}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        found.nodes,
        sentinel_kwargs={
            "protocol": _PROTOCOL,
            "username": found.options.get(valkey_url.SENTINEL_USER),
            "password": found.options.get(valkey_url.SENTINEL_PASSWORD),
            "socket_timeout": SENTINEL_SEC,
            "socket_connect_timeout": SENTINEL_SEC,
            "retry": Retry(NoBackoff(), 0),
            **secured,
        },
    )
    client: Redis = sentinel.master_for(
        found.master,
        connection_pool_class=_PrimaryPool,
        protocol=_PROTOCOL,
        db=found.database,
        username=found.username,
        password=found.password,
        **secured,
        **options,
    )
    _packing(client.connection_pool)
    return client


def _tls_files(found: valkey_url.Several) -> dict[str, str]:
    names = (valkey_url.CA_FILE, valkey_url.CERTIFICATE, valkey_url.KEY)
    return {name: found.options[name] for name in names if name in found.options}


def _base(found: valkey_url.Several, host: str, port: int) -> str:
    scheme = "rediss" if found.tls else "redis"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
