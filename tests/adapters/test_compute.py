"""The pool of processes, beside what every compute promises (``test_compute_contract``)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import anyio
import pytest

from hotbandd.adapters.compute import ProcessCompute
from tests.adapters.computing import add, die_once


@pytest.fixture
async def pool():
    restarts: list[int] = []
    made = ProcessCompute(1, on_restart=lambda: restarts.append(1))
    made.restarts = restarts
    yield made
    await made.aclose()


async def test_a_killed_worker_costs_one_retry(pool, tmp_path):
    assert await pool.run(die_once, str(tmp_path / "died")) == "survived"
    assert pool.restarts == [1]
    assert await pool.run(add, 1, 2) == 3


async def test_several_tasks_survive_one_killed_worker(pool, tmp_path):
    async with anyio.create_task_group() as group:
        group.start_soon(pool.run, die_once, str(tmp_path / "died"))
        group.start_soon(pool.run, add, 1, 2)
        group.start_soon(pool.run, add, 3, 4)


def own_pid() -> int:
    time.sleep(0.02)  # long enough for every worker to be given one
    return os.getpid()


def runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.parametrize("victim", [0, 1])
async def test_a_worker_killed_while_idle_takes_the_others_of_its_pool_with_it(victim):
    """The one that waits at the queue dies with its lock; the rest would wait for it, and the interpreter's end for them."""
    threads = set(threading.enumerate())
    pool, pids = ProcessCompute(2), set()

    async def ask() -> None:
        pids.add(await pool.run(own_pid))

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(ask)
    os.kill(sorted(pids)[victim % len(pids)], signal.SIGKILL)
    assert await pool.run(own_pid) not in pids
    await pool.aclose()
    assert [pid for pid in pids if runs(pid)] == []
    left = {thread for thread in threading.enumerate() if not thread.name.startswith("AnyIO")} - threads
    assert left == set(), "a thread of the pool outlives it"


def length_after(data: bytes, seconds: float) -> int:
    time.sleep(seconds)
    return len(data)


async def test_a_worker_killed_with_a_large_task_on_its_way_leaves_no_thread_behind():
    threads = set(threading.enumerate())
    pool = ProcessCompute(1)
    pid = await pool.run(own_pid)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(pool.run, length_after, bytes(30_000_000), 0.3)
        await anyio.sleep(0.05)  # into the first one, with the next in the pipe
        os.kill(pid, signal.SIGKILL)
    await pool.aclose()
    left = {thread for thread in threading.enumerate() if not thread.name.startswith("AnyIO")} - threads
    assert left == set(), "a thread of the pool outlives it"


HELD: list[bytes] = []


def hold(megabytes: int, seconds: float = 0.0) -> tuple[int, int]:
    """Keep memory beyond the task, as a leak would; return the worker's number and how much was asked for."""
    HELD.append(b"x" * (megabytes * 1_000_000))
    time.sleep(seconds)
    return os.getpid(), megabytes


async def test_a_worker_that_holds_too_much_is_replaced_between_tasks_and_no_task_is_lost():
    restarts: list[int] = []
    pool = ProcessCompute(2, on_restart=lambda: restarts.append(1), worker_bytes=200e6)
    first, _ = await pool.run(hold, 10)
    assert not restarts
    results: list[tuple[int, int]] = []

    async def ask(*words: float) -> None:
        results.append(await pool.run(hold, *words))

    async with anyio.create_task_group() as group:
        for words in [(300, 0.0), (1, 0.5), (2, 0.0), (3, 0.0), (4, 0.0)]:
            group.start_soon(ask, *words)
    grown = {pid for pid, _ in results} | {first}
    assert sorted(megabytes for _, megabytes in results) == [1, 2, 3, 4, 300]
    assert len(restarts) == 1
    after, _ = await pool.run(hold, 1)
    assert after not in grown
    assert len(restarts) == 1
    await pool.aclose()
    assert [pid for pid in grown | {after} if runs(pid)] == []


def test_workers_end_with_their_daemon():
    script = textwrap.dedent("""
        import asyncio, os
        from hotbandd.adapters.compute import ProcessCompute
        async def main():
            pool = ProcessCompute(1)
            print(await pool.run(os.getpid), flush=True)
            await asyncio.sleep(60)
        if __name__ == "__main__":
            asyncio.run(main())
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        worker = int(process.stdout.readline())
        handle = os.pidfd_open(worker)
        process.kill()
    import select

    readable, _, _ = select.select([handle], [], [], 5)
    os.close(handle)
    assert readable, f"worker {worker} outlived its daemon"
