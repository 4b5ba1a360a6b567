"""The whole daemon over a fake OANDA that misbehaves: what is stored is what the market said, each minute once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest
from redis.asyncio import Redis

from hotbandd import daemon
from hotbandd.adapters.clock import SteadyClock
from hotbandd.adapters.embedded_valkey import running as server_of
from hotbandd.adapters.oanda import Limits, OandaSource
from hotbandd.adapters.simulator import DEMO_START_MS, SimulatedSource
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, concatenate
from hotbandd.settings import load
from tests.fake_oanda import TOKEN, FakeOanda, Fault, fake_oanda
from tests.valkey import eventually

PAIRS = ("EUR_USD", "AUD_USD")
DAYS = 5
SPEED = 240.0
PATIENCE_SEC = 120.0
TRANSIENT = (
    Fault.THROTTLED,
    Fault.UNAVAILABLE,
    Fault.CLOSE,
    Fault.CUT_BODY,
    Fault.TRUNCATED_JSON,
    Fault.GARBAGE,
    Fault.DEPTH_BOMB,
    Fault.OVERSIZED,
    Fault.OTHER_INSTRUMENT,
)
MISSHAPEN = (
    Fault.DUPLICATED,
    Fault.REPEATED_PAST,
    Fault.REORDERED,
    Fault.INCOMPLETE_TAIL,
    Fault.NAN,
    Fault.HIGH_BELOW_LOW,
    Fault.MALFORMED,
)


@dataclass
class Scene:
    """A daemon over a fake OANDA."""

    oanda: FakeOanda
    clock: SteadyClock
    running: daemon.Running
    redis: Redis

    async def stored(self, pair: str, until: int) -> Candles:
        page = await self.running.store.candles(pair, "M1", DEMO_START_MS - DAYS * DAY_MS, until)
        assert not page.refused
        return page.candles

    async def passed(self, minutes: int) -> None:
        """Wait until some minutes of the daemon's clock have passed."""
        await self.clock.sleep_until(self.clock.now() + minutes * MINUTE_MS)


async def market() -> dict[str, Candles]:
    source = SimulatedSource()
    start, end = DEMO_START_MS - (DAYS + 1) * DAY_MS, DEMO_START_MS + 2 * DAY_MS
    return {pair: concatenate([page.candles async for page in source.fetch(pair, start, end)]) for pair in PAIRS}


async def play(
    home: Path,
    act: Callable[[Scene], Awaitable[None]],
    *,
    token: str = TOKEN,
    before: tuple[Fault, ...] = (),
    limits: Limits | None = None,
    speed: float = SPEED,
) -> None:
    """Run a daemon, and act beside it until the act ends; the first requests meet some faults."""
    settings = load(
        {
            "HOTBAND_HOME": str(home),
            "HOTBAND_PAIRS": ",".join(PAIRS),
            "HOTBAND_HTTP": "127.0.0.1:0",
            "OANDA_API_KEY": token,
            "CANDLE_HOT_DAYS": str(DAYS),
            "HOTBAND_PROCESSING_INTERVAL": "60",
            "EVAL_INTERVAL_SEC": "300",
            "ALLOC_INTERVAL_SEC": "300",
            "LEASE_TTL_SEC": "2",
        },
        None,
        source_needed=True,
    ).settings
    clock = SteadyClock(speed=speed, anchor_virtual=DEMO_START_MS)

    async def ready(running: daemon.Running) -> None:
        redis = Redis.from_url(await server_of(home), protocol=2)
        async with redis:
            await act(Scene(oanda, clock, running, redis))

    async with fake_oanda(await market(), clock.now) as oanda:
        oanda.misbehave(*before)
        source = OandaSource(token, "practice", base_url=oanda.url, limits=limits)
        with anyio.fail_after(PATIENCE_SEC):
            await daemon.run(daemon.Plan(settings, clock, source=source, ready=ready))


async def test_every_candle_of_a_source_that_misbehaved_is_stored_once_and_gates_are_published(tmp_path):
    done = []

    async def act(scene: Scene) -> None:
        await eventually(lambda: loaded(scene), 30)
        for fault in (*TRANSIENT, *MISSHAPEN):
            scene.oanda.misbehave(fault)
            await scene.passed(1)
        scene.oanda.misbehave_always(Fault.UNAVAILABLE)
        await scene.passed(12)
        scene.oanda.misbehave_always(None)
        await scene.passed(12)
        await check_candles(scene)
        blob = await scene.running.store.gates_blob()
        assert blob is not None
        assert blob.gates.keys() == set(PAIRS)
        assert scene.clock.now() - blob.ts < 10 * MINUTE_MS
        weights = await scene.running.store.weights()
        assert weights is not None
        assert weights.weights == {}
        done.append(True)

    await play(tmp_path, act, before=TRANSIENT)
    assert done


async def loaded(scene: Scene) -> bool:
    return scene.running.desk.context.market.loaded.is_set()


async def check_candles(scene: Scene, *, whole: bool = True) -> None:
    """Compare what is stored with what the market says, up to a moment that lies a little back; ``whole``: nothing may be missing."""
    until = scene.clock.now() - 5 * MINUTE_MS
    for pair in PAIRS:
        ours = await scene.stored(pair, until)
        oldest = int(ours.t[0])
        assert oldest <= DEMO_START_MS - (DAYS - 1) * DAY_MS
        theirs = scene.oanda.candles[pair].between(oldest, until)
        missing = np.setdiff1d(theirs.t, ours.t)
        assert set(theirs.t.tolist()) >= set(ours.t.tolist()), pair
        assert not whole or not missing.size, (pair, missing)
        for mine, other in zip(ours[:6], theirs.take(np.isin(theirs.t, ours.t))[:6], strict=True):
            np.testing.assert_allclose(mine, other, atol=5e-6)
        scores = [score for _, score in await scene.redis.zrange(f"md:candles:{pair}:M1", 0, -1, withscores=True)]
        assert len(scores) == len(set(scores)) > 0


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: capfd.readouterr().out


async def test_a_refused_token_is_a_clear_sentence_and_red_only_where_it_should_be(tmp_path, log):
    answers: dict[str, httpx.Response] = {}

    async def act(scene: Scene) -> None:
        async with httpx.AsyncClient(base_url=scene.running.address) as client:
            await eventually(lambda: failed(client), 20)
            for path in ("/healthz", "/readyz", "/status"):
                answers[path] = await client.get(path)

    async def failed(client: httpx.AsyncClient) -> bool:
        return bool((await client.get("/status")).json()["loops"].get("hydrator", {}).get("fault"))

    await play(tmp_path, act, token="a-refused-token-0123456789")
    assert answers["/healthz"].status_code == 200
    assert answers["/readyz"].status_code == 503
    fault = answers["/status"].json()["loops"]["hydrator"]["fault"]
    assert fault.startswith("OANDA refuses the token (status 401); check OANDA_API_KEY")
    told = log()
    assert "OANDA refuses the token" in told
    assert "a-refused-token" not in told + answers["/status"].text
