"""Real Valkey servers for tests: each embedded server belongs to a process of its own, which ends with the tests."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection

from hotbandd.adapters.embedded_valkey import _LAUNCH, _binary, embedded

ROOT = Path(__file__).resolve().parents[1]
USERS = ROOT / "config" / "valkey" / "users.acl"
PASSWORD = "the-servers-own-pass-phrase"


class Owner(NamedTuple):
    """A process that owns or has joined the server of a home, and the URL that it was given."""

    process: subprocess.Popen[str]
    url: str


class Guarded(NamedTuple):
    """A server under the project's list of users: its URL for hotband's user, and for the administrator."""

    url: str
    admin_url: str


@contextmanager
def guarded(folder: Path, *options: str) -> Iterator[Guarded]:
    """Run a server that loads ``config/valkey/users.acl``, each user given a password as docs/security.md says."""
    users, socket = folder / "users.acl", folder / "valkey.sock"
    password = f"#{hashlib.sha256(PASSWORD.encode()).hexdigest()}"
    lines = USERS.read_text().splitlines()
    users.write_text("".join(f"{line} {password}\n" if " on " in line else f"{line}\n" for line in lines))
    words = [
        "--port",
        "0",
        "--unixsocket",
        socket,
        "--dir",
        folder,
        "--save",
        "",
        "--appendonly",
        "yes",
        "--aclfile",
        users,
        *options,
    ]
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), _binary()]
    with (folder / "server.log").open("wb") as log, subprocess.Popen([*launch, *words], stdout=log) as server:
        try:
            found = Guarded(*(f"unix://{user}:{PASSWORD}@{socket}" for user in ("hotband", "admin")))
            _answering(found.admin_url, server)
            yield found
        finally:
            server.kill()


def _answering(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    with Redis.from_url(url, protocol=2) as client:
        while True:
            try:
                client.ping()
            except NoConnection:
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.02)
            else:
                return


def as_user(url: str, user: str, password: str) -> str:
    """Return the URL of the same server for another user."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}:{password}@{rest.rpartition('@')[2]}"


@contextmanager
def owner(home: Path) -> Iterator[Owner]:
    """Run an embedded server in a process of its own."""
    with launched(home) as process:
        assert process.stdout is not None
        yield Owner(process, process.stdout.readline().strip())


@contextmanager
def launched(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Start such a process without waiting for its URL; it ends when its input does."""
    command = [sys.executable, "-m", "tests.valkey", str(home)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.communicate()


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait until a check holds; fail after a while."""
    for _ in range(int(seconds * 100)):
        if await check():
            return
        await anyio.sleep(0.01)
    raise AssertionError(f"it did not happen within {seconds} s")


async def main(home: Path) -> None:
    """Own the server of a home until the input ends."""
    async with embedded(home) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await anyio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
