"""Manifolds: published when they are new, rebuilt at a start, and measured on all that is there."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from hotbandd import parts
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.core import manifold, manifold_documents
from hotbandd.core.candles import DAY_MS, MINUTE_MS, concatenate
from hotbandd.core.manifold import COEFF_WINDOW, WINDOW
from hotbandd.core.series import Series
from hotbandd.errors import ComputeError, FencedError, SourceUnreachableError
from hotbandd.services import market as markets
from hotbandd.services.loop import Due
from tests.services.scenes import (
    FOR_EVER,
    NOW,
    PAIRS,
    HandClock,
    ScriptedSource,
    ShakyStore,
    desk_of,
    recorded,
    settings_of,
    store_of,
    trading,
)

EUR = PAIRS[0]


class Stage:
    """One desk over a scripted source, and a clock that is moved by hand."""

    def __init__(self, **given: object) -> None:
        self.settings = settings_of(hotband_pairs=EUR, **given)
        self.clock = HandClock()
        self.store = ShakyStore(store_of(self.settings, self.clock))
        self.source = ScriptedSource({EUR: trading(NOW - 8 * DAY_MS, NOW + DAY_MS)})

    async def start(self) -> Stage:
        self.desk = await desk_of(self.settings, self.clock, self.store, self.source)
        return self

    async def step(self, minutes: float = 0) -> None:
        self.clock.moment += int(minutes * MINUTE_MS)
        await self.desk.hydrator.step(Due(self.clock.now(), self.clock.now()))

    def whole(self, days: int) -> Series:
        """Return the series of all that the source holds, measured at once."""
        series = Series()
        series.add(self.source.held[EUR].between(NOW - days * DAY_MS, self.clock.now()).closed_by(self.clock.now()))
        manifold.measure_series(series, "calibrated")
        return series

    def points(self, series: Series) -> list[object]:
        rows = manifold_documents.rows_of(series, 0, "calibrated", parts.form(self.settings))
        return list(manifold_documents.points(rows))


async def test_the_newest_manifold_bears_the_close_of_the_newest_candle():
    stage = await Stage().start()
    await stage.step(0.5)
    document = await stage.store.manifold(EUR)
    assert document is not None
    assert document.ts == NOW
    assert document.price == stage.whole(2).candles.close[-1]
    assert document.epoch == stage.desk.context.leadership.lease.epoch
    assert document.diagnostics.source == "scripted"
    assert recorded(stage.desk).calls("newest_candle")[-1] == (EUR, NOW)


async def test_a_manifold_is_published_once_and_again_only_with_a_new_candle():
    stage = await Stage().start()
    await stage.step()
    assert stage.store.calls.count("publish_manifold") == 1
    stage.store.calls.clear()
    await stage.step(0.5)
    assert "publish_manifold" not in stage.store.calls
    await stage.step(0.5)
    assert stage.store.calls.count("publish_manifold") == 1
    assert (await stage.store.manifold(EUR)).ts == NOW + MINUTE_MS


async def test_at_a_start_the_history_of_the_last_day_is_rebuilt_as_the_whole_series_has_it():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    points = await stage.store.manifold_history(EUR, 0, 2**53)
    assert points == [point for point in stage.points(stage.whole(7)) if point.ts > NOW - DAY_MS]


async def test_what_the_rest_of_the_history_does_not_change_is_not_published_again():
    stage = await Stage(candle_hot_days=7).start()
    assert (
        stage.whole(3).size > 2 * COEFF_WINDOW + WINDOW
    )  # so every hazard of the last day looks back over recent candles alone
    await stage.step()
    assert stage.desk.context.market.loaded.is_set()
    assert stage.store.calls.count("put_manifold_history") == stage.store.calls.count("publish_manifold") == 1


async def on_a_monday() -> Stage:
    """Return a stage whose recent days hold a weekend, and so too few signals for the hazards of the last day."""
    stage = Stage(candle_hot_days=7)
    stage.clock.moment = monday = NOW - 2 * DAY_MS
    pages = SimulatedSource().fetch(EUR, monday - 7 * DAY_MS, monday)
    stage.source.held[EUR] = concatenate([page.candles async for page in pages])
    return await stage.start()


async def test_hazards_of_that_history_look_back_over_all_that_was_loaded():
    stage = await on_a_monday()
    await stage.step()
    points = await stage.store.manifold_history(EUR, 0, 2**53)
    assert points == [point for point in stage.points(stage.whole(9)) if point.ts > stage.clock.now() - DAY_MS]
    assert any(point.lambda_ for point in points)


async def test_what_fails_between_loading_and_measuring_leaves_no_old_hazards_behind():
    stage = await on_a_monday()
    measure, measured = stage.desk.hydrator._measure, []

    async def fails_once() -> None:
        measured.append(stage.desk.context.market.series[EUR].size)
        if len(measured) == 3:  # once for what is stored, once for the recent days, now for all of it
            raise ComputeError("the workers died")
        await measure()

    stage.desk.hydrator._measure = fails_once
    with pytest.raises(ComputeError):
        await stage.step()
    assert measured[2] > measured[1] > measured[0]
    await stage.step()
    points = await stage.store.manifold_history(EUR, 0, 2**53)
    assert points == [point for point in stage.points(stage.whole(9)) if point.ts > stage.clock.now() - DAY_MS]


async def test_the_history_grows_by_every_candle_that_comes():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    for minutes in (1, 3, 0.5, 0.5):
        await stage.step(minutes)
    points = await stage.store.manifold_history(EUR, NOW, 2**53)
    assert points == [point for point in stage.points(stage.whole(7)) if point.ts > NOW]
    assert len(points) == 5


async def test_a_restart_writes_the_same_history_again():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    before = await stage.store.manifold_history(EUR, 0, 2**53)
    await stage.start()
    await stage.step()
    assert await stage.store.manifold_history(EUR, 0, 2**53) == before


async def test_too_few_candles_have_no_manifold():
    stage = await Stage().start()
    stage.source.held[EUR] = stage.source.held[EUR].between(NOW - 100 * MINUTE_MS, NOW)
    await stage.step()
    assert await stage.store.manifold(EUR) is None


async def test_a_deposed_process_publishes_no_manifold_and_notices():
    stage = await Stage().start()
    await stage.step()
    stage.store.inner._backend._values.pop("hotband:leader")
    assert await stage.store.acquire_lease("another", FOR_EVER) is not None
    with pytest.raises(FencedError, match="stands by"):
        await stage.step(1)
    assert stage.desk.context.leadership.lease is None
    assert (await stage.store.manifold(EUR)).ts == NOW


async def test_what_was_late_is_measured_into_all_that_follows():
    stage = await Stage().start()
    whole = stage.source.held[EUR]
    stage.source.held[EUR] = whole.take((whole.t < NOW - 4 * MINUTE_MS) | (whole.t >= NOW - 2 * MINUTE_MS))
    await stage.step()
    stage.source.held[EUR] = concatenate((whole.between(0, NOW), whole.between(NOW, 2**53)))
    await stage.step(1)
    series, expected = stage.desk.context.market.series[EUR], stage.whole(2)
    last = min(series.size, expected.size) - 200
    assert all((a[-last:] == b[-last:]).all() for a, b in zip(series.metrics, expected.metrics, strict=True))


@pytest.mark.parametrize(
    ("interval", "lag", "offset"), [(10, 10, 5_000), (10, 1, 500), (60, 10, 5_000), (0.5, 10, 250)]
)
async def test_steps_fall_between_a_slot_and_its_decision_and_the_first_one_is_at_once(interval, lag, offset):
    stage = await Stage(hotband_processing_interval=interval, decision_lag_sec=lag).start()
    hydrator = stage.desk.hydrator
    assert hydrator.next_due(NOW).wake == NOW + offset
    assert hydrator.next_due(NOW + offset).wake == NOW + offset + int(interval * 1000)
    assert hydrator.next_due(hydrator.first_after(NOW + 1234)).wake <= NOW + 1234


async def regained(stage: Stage) -> None:
    leadership = stage.desk.context.leadership
    leadership.lose()
    leadership.gain(await stage.store.acquire_lease("test", FOR_EVER))


@pytest.mark.parametrize("source_away", [False, True])
async def test_a_store_that_lost_the_history_has_it_back_before_the_market_is_settled(source_away):
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    market, backend = stage.desk.context.market, stage.store.inner._backend
    before = await stage.store.manifold_history(EUR, 0, 2**53)
    backend._sets.clear()
    await regained(stage)
    restored = stage.desk.hydrator._intake.restore

    async def restore(pairs: Sequence[str], now: int) -> None:
        with anyio.fail_after(1):
            await market.settled(stage.desk.context.leadership.lease.epoch)
        assert await stage.store.manifold_history(EUR, 0, 2**53) == before
        await restored(pairs, now)

    stage.desk.hydrator._intake.restore = restore
    if source_away:
        stage.source.faults[EUR] = SourceUnreachableError("away")
        with pytest.raises(SourceUnreachableError):
            await stage.step(0.1)
    else:
        await stage.step(0.1)
    assert await stage.store.manifold_history(EUR, 0, 2**53) == before


async def test_history_that_the_store_has_is_not_written_again_before_the_market_is_settled():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    await regained(stage)
    calls, market = stage.store.calls, stage.desk.context.market
    settle = market.settle
    market.settle = lambda epoch: (calls.append("settled"), settle(epoch))
    calls.clear()
    await stage.step(0.1)
    assert "put_manifold_history" not in calls[: calls.index("settled")]


async def test_manifolds_go_out_before_the_store_is_asked_whether_it_lost_candles():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    await regained(stage)
    stage.store.calls.clear()
    await stage.step(0.1)
    calls = stage.store.calls
    assert calls.index("publish_manifold") < calls.index("candle_count")


async def test_nobody_waits_for_ever_for_a_market_that_does_not_settle(monkeypatch):
    monkeypatch.setattr(markets, "SETTLE_SEC", 0.01)
    stage = await Stage().start()
    with anyio.fail_after(2):
        await stage.desk.context.market.settled(2**53)
