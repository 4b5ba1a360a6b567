"""An hour of a fast clock with an OANDA that misbehaves at random: what is stored is what the market said, and its limits are kept."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from hotbandd.adapters.oanda import Limits
from tests.daemon.test_oanda import PAIRS, Scene, check_candles, loaded, play
from tests.fake_oanda import SPOILING, Fault
from tests.faults.runs import Runs, on_this_machine
from tests.faults.witness import plainly
from tests.valkey import eventually

SPEED = 240.0
# Of a fast clock, on a machine that may be busy; rates as ever.
QUICK = Limits(deadline_sec=3.0, retry_first_sec=0.05, retry_max_sec=0.2, total_sec=6.0)
CYCLE_SEC = 10.0
FAULTS = tuple(fault for fault in Fault if fault is not Fault.UNAUTHORIZED)
REASONS = dict(zip(SPOILING, ("not_finite", "high_below_low", "malformed"), strict=True))
REQUESTS_PER_SEC, CONNECTIONS_PER_SEC = 0.8 * 100, 0.8 * 2
MUST = "≤ 80 % of its limits; resumes within one cycle and back-fills the gap; 0 bad candles stored, each counted by reason"


async def test_an_oanda_that_misbehaves_for_an_hour_costs_no_candle(runs: Runs, tmp_path: Path):
    minutes = 60 if runs.full else 10
    requests, connections, spoilt = 0.0, 0.0, 0
    for seed, random in runs.of(f"OANDA misbehaves for {minutes} minutes of a fast clock", MUST, short=1, full=100):
        home = tmp_path / str(seed)
        home.mkdir()
        scenes: list[Scene] = []

        async def act(scene: Scene, random: Random = random, scenes: list[Scene] = scenes) -> None:
            scenes.append(scene)
            runs.recovered(await misbehaving(scene, random, minutes))

        async with plainly():
            await play(home, act, limits=QUICK, speed=SPEED)
        assert runs.fault is not None
        assert len(runs.fault.recoveries) == runs.fault.done + 1, "a signal ended it"
        oanda = scenes[0].oanda
        requests = max(requests, densest([request.at for request in oanda.requests], 1.0, REQUESTS_PER_SEC))
        connections = max(connections, densest(oanda.connected, 10.0, CONNECTIONS_PER_SEC))
        spoilt += oanda.spoilt.total()
    runs.note(f"at most {requests:.0f} requests/s, {connections:.1f} new connections/s; {spoilt} spoilt candles")


async def misbehaving(scene: Scene, random: Random, minutes: int) -> float:
    """Misbehave for some minutes; return how long it took, from the end of that, until everything was there."""
    await eventually(lambda: loaded(scene), 30)
    scene.oanda.misbehave_at_random(random, random.uniform(0.3, 1.0), random.sample(FAULTS, 6))
    for _ in range(minutes // 10):
        await scene.passed(10)
        await check_candles(scene, whole=False)
    scene.oanda.misbehave_always(None)
    healed, moment = time.monotonic(), scene.clock.now()
    await eventually(lambda: whole(scene, moment), 30)
    took = time.monotonic() - healed
    assert took <= on_this_machine(CYCLE_SEC)
    await check_candles(scene, whole=False)
    await eventually(lambda: counted(scene))  # the last answers may still be on their way
    return took


async def counted(scene: Scene) -> bool:
    """Tell whether each candle that was sent spoilt is counted, by its reason."""
    found = refused(scene)
    return all(found[REASONS[fault]] == sent for fault, sent in scene.oanda.spoilt.items())


async def whole(scene: Scene, until: int) -> bool:
    """Tell whether all is stored that had closed by a moment."""
    for pair in PAIRS:
        ours = await scene.stored(pair, until)
        theirs = scene.oanda.candles[pair].between(int(ours.t[0]), until).closed_by(until)
        if np.setdiff1d(theirs.t, ours.t).size:
            return False
    return True


def refused(scene: Scene) -> Counter[str]:
    """Return how many candles were refused, by reason."""
    found: Counter[str] = Counter()
    text = scene.running.desk.context.telemetry.exposition().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "hotband_candles_total":
                found[sample.labels["outcome"]] += int(sample.value)
    return found


def densest(moments: list[float], seconds: float, bound: float) -> float:
    """Return the highest rate per second within a window of so many seconds; fail beyond a bound, one event of the window's edge aside."""
    at = np.array(moments)
    most = max(np.searchsorted(at, at + seconds, side="right") - np.arange(at.size), default=0)
    assert most <= bound * seconds + 1, f"{most} within {seconds} s"
    return float(most) / seconds
