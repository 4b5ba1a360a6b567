"""Doctor: what is wrong is found, and comes with what to do."""

from __future__ import annotations

import pytest

from hotbandd import parts
from hotbandd.core.documents import encode
from hotbandd.errors import RefusedError
from hotbandd.operations.doctor import Disk, Doctor, healthy, judged_disk, judged_server
from hotbandd.ports import ServerFacts
from hotbandd.settings import load
from tests.adapters import store_samples as samples
from tests.operations.conftest import Outside

SETTINGS = load({"HOTBAND_SOURCE": "simulated"}, None).settings
GOOD = ServerFacts("8.1.0", 1_000_000, 0, "noeviction", True, True, 0.3, None)


class Bank:
    """An account that answers, or refuses."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def account(self):
        if self._error:
            raise self._error
        return {}

    async def open_trades(self):
        return {}


def doctor(outside: Outside, bank: Bank | None = None, skew: float | None = None) -> Doctor:
    return Doctor(
        pairs=("EUR_USD",),
        granularity="M1",
        days=95,
        gates_max_age_sec=1800,
        calendar=parts.calendar(SETTINGS),
        store=outside.store,
        server=outside.server,
        signals=outside.signals,
        broker=bank,
        skew_sec=lambda: skew,
    )


def states(checks) -> dict[str, str]:
    return {check.name: check.state for check in checks}


async def test_an_empty_server_is_well_but_nothing_in_it(outside: Outside) -> None:
    checks = await doctor(outside).run(samples.START)
    assert states(checks) == {
        "valkey": "ok",
        "leader": "fault",
        "kill switch": "warning",
        "gates": "fault",
        "allocator": "fault",
        "candles EUR_USD": "fault",
        "manifold EUR_USD": "fault",
        "oanda": "ok",
    }
    assert all(check.advice for check in checks if check.state != "ok")
    assert not healthy(checks)


async def test_a_corrupt_document_and_an_engaged_switch_are_found(outside: Outside) -> None:
    await outside.redis.set("opt:rolling:gates_blob", b"{}")
    await outside.redis.set("ops:kill_switch", "1")
    await outside.redis.set("hotband:leader", "somebody:7")
    found = {check.name: check for check in await doctor(outside).run(samples.START)}
    assert found["gates"].state == "fault"
    assert "opt:rolling:gates_blob" in found["gates"].advice
    assert found["kill switch"].state == "warning"
    assert found["leader"].found == "somebody, epoch 7"


async def test_old_gates_are_a_fault_and_fresh_ones_are_not(outside: Outside) -> None:
    blob = samples.blob()
    await outside.redis.set("opt:rolling:gates_blob", encode(blob))
    for later, state in ((60_000, "ok"), (1_801_000, "fault")):
        found = {check.name: check for check in await doctor(outside).run(blob.evaluated_ts + later)}
        assert found["gates"].state == state


@pytest.mark.parametrize(
    ("bank", "skew", "state"),
    [(Bank(), 0.5, "ok"), (Bank(), 60.0, "fault"), (Bank(RefusedError("The token is wrong.")), None, "fault")],
)
async def test_the_account_and_the_clocks_are_looked_at(outside: Outside, bank, skew, state) -> None:
    checks = await doctor(outside, bank, skew).run(samples.START)
    assert states(checks)["oanda"] == state


@pytest.mark.parametrize(
    ("change", "state", "advice"),
    [
        ({}, "ok", ""),
        ({"version": "6.2.1"}, "fault", "Upgrade"),
        ({"version": None}, "warning", "INFO"),
        ({"limit_bytes": 10**9, "eviction": "allkeys-lru"}, "fault", "noeviction"),
        ({"last_save_ok": False}, "fault", "save failed"),
        ({"append_only": False}, "warning", "appendonly"),
        ({"latency_ms": 50.0}, "warning", "slow"),
        ({"refused": "no rights"}, "fault", "no rights"),
        ({"layout": "cluster of 3", "replicas": 1}, "ok", ""),
        ({"layout": "cluster of 3", "replicas": 0}, "warning", "No replica"),
        (
            {"layout": "cluster of 3", "broken": "The cluster is fail."},
            "fault",
            "The cluster is fail. See CLUSTER INFO",
        ),
    ],
)
def test_a_server_is_judged_by_the_worst_that_it_says(change, state, advice) -> None:
    check = judged_server(GOOD._replace(**change))
    assert check.state == state
    assert advice in check.advice


@pytest.mark.parametrize(
    ("disk", "state"), [(Disk(10**11, None), "ok"), (Disk(10**6, None), "fault"), (Disk(10**11, "read-only"), "fault")]
)
def test_a_disk_that_is_full_or_read_only_is_a_fault(disk, state) -> None:
    assert judged_disk("/home", disk).state == state
