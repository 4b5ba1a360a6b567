"""The wall clock jumps under a daemon that runs: no slot of any loop comes twice, and none is left out."""

from __future__ import annotations

import os
import time
from itertools import pairwise

import pytest

from tests.faults import hooked
from tests.faults.manager import Manager, events, service

SLOT_SEC = 3
HOUR_SEC = 3600.0
SETTINGS = {"EVAL_INTERVAL_SEC": str(SLOT_SEC), "ALLOC_INTERVAL_SEC": str(SLOT_SEC)}

pytestmark = pytest.mark.usefixtures("raw")


def set_wall_clock(manager: Manager, off_sec: float) -> None:
    (manager.home / "jump").write_text(str(off_sec))
    os.kill(manager.process.pid, hooked.JUMP)


def slots(manager: Manager, loop: str) -> list[int]:
    return [line["slot"] for line in events(manager.log, f"{loop}.published") if line.get("stepped", True)]


def published(manager: Manager, count: int) -> None:
    """Wait for so many more slots of each loop."""
    before = {loop: len(slots(manager, loop)) for loop in ("evaluator", "allocator")}
    manager.until(lambda: all(len(slots(manager, loop)) >= n + count for loop, n in before.items()), "slots")


def test_a_jump_of_the_wall_clock_doubles_and_loses_no_slot(tmp_path, runs, valkey_url):
    with service(tmp_path, valkey_url, SETTINGS).managing() as manager:
        published(manager, 1)
        for seed, random in runs.of(
            "the wall clock jumps by up to ± 1 h", "no slot doubled or lost", short=2, full=100
        ):
            off = [HOUR_SEC, -HOUR_SEC][seed] if seed < 2 else random.uniform(-HOUR_SEC, HOUR_SEC)
            began, first = time.monotonic(), len(slots(manager, "evaluator"))
            set_wall_clock(manager, off)
            published(manager, 2 if off > 0 else 1)
            real = time.monotonic() - began
            passed = (slots(manager, "evaluator")[-1] - slots(manager, "evaluator")[first - 1]) / 1000
            assert passed <= 4 * (real + SLOT_SEC)
            for loop in ("evaluator", "allocator"):
                steps = [later - earlier for earlier, later in pairwise(slots(manager, loop))]
                assert set(steps) == {SLOT_SEC * 1000}, f"{loop}, seed {seed}"
        assert not manager.kills
        assert not manager.codes
        assert events(manager.log, "clock.off")

        set_wall_clock(manager, 3 * HOUR_SEC)  # that is no slip: it starts anew, by the clock as it is
        manager.until(lambda: manager.codes, "the end of the process")
        assert manager.codes == [1]
        assert "The wall clock was set by +" in manager.log
        manager.ready(since=time.monotonic() - 1)
