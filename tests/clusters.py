"""Real clusters and Sentinels on loopback: each node a process that ends with the tests, each under the project's list of users."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from redis import Redis
from redis.exceptions import RedisError

from hotbandd.adapters.embedded_valkey import _LAUNCH, _binary
from tests.valkey import PASSWORD, USERS

HOST = "127.0.0.1"
SLOTS = 16384
MASTER = "desk"
DOWN_MS = 1000  # silence after which a node counts as dead
PATIENCE_SEC = 60.0
MOVING_SEC = 0.05  # for which a slot is half moved after each of its keys
_HASH = f"#{hashlib.sha256(PASSWORD.encode()).hexdigest()}"


class Node:
    """One server process; ``admin`` is its administrator's client."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.port = free_port()
        self.bus = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.admin = Redis(host=HOST, port=self.port, username="admin", password=PASSWORD, protocol=2, socket_timeout=5)
        (folder / "users.acl").write_text("".join(_entered(line) for line in USERS.read_text().splitlines()))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        self.serving()

    def launch(self) -> None:
        """Start it; it ends with the thread that does."""
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), _binary()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*launch, *self._words()], stdout=log, cwd=self.folder)

    def serving(self) -> None:
        """Wait until it answers."""
        until(self._answers, f"{self.folder} answers")

    def _words(self) -> list[str]:
        words = [
            "--port",
            str(self.port),
            "--bind",
            HOST,
            "--dir",
            str(self.folder),
            "--save",
            "",
            "--appendonly",
            "yes",
        ]
        users = ["--aclfile", str(self.folder / "users.acl"), "--masteruser", "replica", "--masterauth", PASSWORD]
        quick = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
        return [*words, *users, *quick, *self._options, *(["--cluster-port", str(self.bus)] if self.clustered else [])]

    @property
    def clustered(self) -> bool:
        return "--cluster-enabled" in self._options

    def _answers(self) -> bool:
        try:
            return bool(self.admin.ping())
        except RedisError:
            return False

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.admin.close()
        self.kill()


class SentinelNode(Node):
    """A Sentinel, which watches one primary from its start."""

    def __init__(self, folder: Path, watched: Node, quorum: int) -> None:
        super().__init__(folder)
        (folder / "users.acl").write_text(
            f"user default off\nuser admin on allchannels allkeys +@all {_HASH}\n"
            f"user watch on resetchannels -@all +ping +client|setinfo +sentinel|masters {_HASH}\n"
        )
        (folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind {HOST}\ndir {folder}\naclfile {folder / 'users.acl'}\n"
            f"sentinel monitor {MASTER} {HOST} {watched.port} {quorum}\n"
            f"sentinel auth-user {MASTER} sentinel\nsentinel auth-pass {MASTER} {PASSWORD}\n"
            f"sentinel sentinel-user admin\nsentinel sentinel-pass {PASSWORD}\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_MS}\nsentinel failover-timeout {MASTER} 3000\n"
        )

    def _words(self) -> list[str]:
        return [str(self.folder / "sentinel.conf"), "--sentinel"]


class Cluster(NamedTuple):
    """A cluster: primaries first, then as many replicas of each, in their order."""

    nodes: Sequence[Node]
    primaries: int

    def url(self, user: str = "hotband") -> str:
        return f"redis+cluster://{user}:{PASSWORD}@" + ",".join(node.address for node in self.nodes)

    def flush(self) -> None:
        for node in self.nodes:
            if node.admin.info("replication")["role"] == "master":
                node.admin.flushall()

    def owner(self, slot: int) -> Node:
        """Return the node that serves a slot, as most nodes say."""
        named: list[int] = []
        for node in self.nodes:
            try:
                found = node.admin.execute_command("CLUSTER SLOTS")
            except RedisError:
                continue
            named += [primary[1] for first, last, primary, *_ in found if first <= slot <= last]
        return self._at(max(set(named), key=named.count))

    def replica(self, primary: Node) -> Node:
        """Return a replica of a node."""
        lines = primary.admin.execute_command("CLUSTER REPLICAS", node_id(primary))
        return self._at(next(int(address.partition("@")[0].rpartition(":")[2]) for address in lines))

    def move(self, slot: int, target: Node) -> None:
        """Move a slot to another node, key by key, as resharding does."""
        self.begin_move(slot, target)
        while self.move_key(slot, target):
            time.sleep(MOVING_SEC)
        self.end_move(slot, target)

    def begin_move(self, slot: int, target: Node) -> None:
        source = self.owner(slot)
        target.admin.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", node_id(source))
        source.admin.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", node_id(target))

    def move_key(self, slot: int, target: Node) -> bool:
        """Move one key; return whether there was one."""
        source = self.owner(slot)
        names = source.admin.execute_command("CLUSTER GETKEYSINSLOT", slot, 1)
        if names:
            to = (HOST, target.port, "", 0, 5000, "AUTH2", "admin", PASSWORD, "KEYS")
            source.admin.execute_command("MIGRATE", *to, *names)
        return bool(names)

    def end_move(self, slot: int, target: Node) -> None:
        for node in (target, self.owner(slot), *self.nodes):
            if node.admin.info("replication")["role"] == "master":
                node.admin.execute_command("CLUSTER SETSLOT", slot, "NODE", node_id(target))

    def _at(self, port: int) -> Node:
        return next(node for node in self.nodes if node.port == port)


class Watched(NamedTuple):
    """A primary with replicas, and the Sentinels that watch it."""

    servers: Sequence[Node]
    sentinels: Sequence[SentinelNode]

    @property
    def url(self) -> str:
        named = ",".join(node.address for node in self.sentinels)
        secrets = f"sentinel_username=watch&sentinel_password={PASSWORD}"
        return f"redis+sentinel://hotband:{PASSWORD}@{named}/{MASTER}?{secrets}"

    def replica(self, primary: Node) -> Node:
        """Return the other server."""
        return next(node for node in self.servers if node is not primary)

    def primary(self) -> Node:
        """Return the server that the first Sentinel to answer names."""
        for sentinel in self.sentinels:
            try:
                _, port = sentinel.admin.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER)
            except RedisError:
                continue
            return next(node for node in self.servers if node.port == int(port))
        raise AssertionError("no Sentinel answers")


@contextmanager
def cluster(folder: Path, *, primaries: int = 3, replicas: int = 0) -> Iterator[Cluster]:
    """Run a cluster whose slots are all served."""
    options = (
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        str(DOWN_MS),
        "--cluster-replica-validity-factor",
        "0",
    )
    made = Cluster([Node(folder / str(n), *options) for n in range(primaries * (1 + replicas))], primaries)
    with ExitStack() as stack:
        for node in made.nodes:
            stack.callback(node.close)
            node.start()
        _join(made)
        yield made


def _join(made: Cluster) -> None:
    first, *others = made.nodes
    share = SLOTS // made.primaries
    for number, node in enumerate(made.nodes):
        node.admin.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
    for number, node in enumerate(made.nodes[: made.primaries]):
        last = SLOTS - 1 if number == made.primaries - 1 else (number + 1) * share - 1
        node.admin.execute_command("CLUSTER ADDSLOTSRANGE", number * share, last)
    for node in others:
        first.admin.execute_command("CLUSTER MEET", HOST, node.port, node.bus)
    until(lambda: all(_known(node) == len(made.nodes) for node in made.nodes), "all nodes know one another")
    for number, node in enumerate(made.nodes[made.primaries :]):
        name = node_id(made.nodes[number % made.primaries])
        until(lambda node=node, name=name: _replicates(node, name), "a replica has its primary")  # type: ignore[misc]
    until(lambda: all(whole(node) for node in made.nodes), "the cluster is whole")
    until(lambda: all(synced(node) for node in made.nodes[made.primaries :]), "the replicas have their copies")


def node_id(node: Node) -> str:
    return str(node.admin.execute_command("CLUSTER MYID").decode())


def _known(node: Node) -> int:
    return int(node.admin.execute_command("CLUSTER INFO")["cluster_known_nodes"])


def _replicates(node: Node, name: str) -> bool:
    try:
        node.admin.execute_command("CLUSTER REPLICATE", name)
    except RedisError:  # it does not know it yet
        return False
    return True


def synced(node: Node) -> bool:
    """Tell whether a replica has its primary's data."""
    return node.admin.info("replication").get("master_link_status") == "up"


def whole(node: Node) -> bool:
    """Tell whether a node sees every slot served."""
    try:
        found = node.admin.execute_command("CLUSTER INFO")
    except RedisError:
        return False
    return found["cluster_state"] == "ok" and found["cluster_slots_ok"] == str(SLOTS)


@contextmanager
def watched(folder: Path, *, sentinels: int = 3, quorum: int = 2) -> Iterator[Watched]:
    """Run a primary, a replica, and Sentinels that know one another."""
    primary = Node(folder / "0")
    replica = Node(folder / "1", "--replicaof", f"{HOST} {primary.port}")
    guards = [SentinelNode(folder / f"sentinel{n}", primary, quorum) for n in range(sentinels)]
    with ExitStack() as stack:
        for node in (primary, replica, *guards):
            stack.callback(node.close)
            node.start()
        until(lambda: synced(replica), "the replica has its copy")
        until(lambda: all(_sees(node, sentinels - 1) for node in guards), "the Sentinels know one another")
        yield Watched([primary, replica], guards)


def _sees(sentinel: Node, others: int) -> bool:
    found = sentinel.admin.sentinel_master(MASTER)
    return bool(found["num-other-sentinels"] == others and found["num-slaves"] >= 1)


def until(check: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_SEC
    while not check():
        assert time.monotonic() < deadline, f"it did not happen: {what}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def _entered(line: str) -> str:
    return f"{line} {_HASH}\n" if " on " in line else f"{line}\n"
