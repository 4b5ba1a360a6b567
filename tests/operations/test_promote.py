"""Promotion and its application: files written whole, read back by the daemon's reader, told on the channel, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from hotbandd.adapters import yaml_text
from hotbandd.adapters.files import FolderArtifacts
from hotbandd.adapters.live_params import FileParams
from hotbandd.adapters.store.trials import ValkeyTrials
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core.documents import Params
from hotbandd.core.live_params import overlay
from hotbandd.core.param_key import param_key
from hotbandd.core.trial_documents import GLOBAL, BestConfig, LiveConfigChanged, Luck
from hotbandd.errors import CorruptPayloadError, InputError, UsageError
from hotbandd.operations.promote import BACKUP, FILE, Apply, Plan, Promote
from tests.adapters.store_samples import SPAN
from tests.operations.conftest import Outside

STRATEGIES = ("combined", "fade")
PAIRS = ("USD_JPY", "EUR_USD", "12_34")  # the last one reads as a number where it is not quoted
SETTINGS = Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0, strategy="fade")
NOW = 1_760_000_000_000
CHANNEL = "opt:live_config:changed:"


def winner(instrument: str, dsr: float | None = 0.9, pbo: float | None = 0.1, **changed: Any) -> BestConfig:
    params = msgspec.structs.replace(SETTINGS, **{"strategy": "combined", **changed})
    luck = Luck(trials=3, deflated_sharpe=dsr, pbo=pbo, walk_forward=[], words="")
    return BestConfig(
        instrument=instrument, param_key=param_key(params), params=params, env={}, summary=SPAN, ts=NOW, luck=luck
    )


@pytest.fixture
async def archive(raw: Redis, valkey_url: str) -> AsyncIterator[ValkeyTrials]:
    backend = ValkeyBackend(valkey_url)
    yield ValkeyTrials(backend)
    await backend.aclose()


def promotion(archive: ValkeyTrials, home: Path, **bounds: float) -> Promote:
    return Promote(
        archive=archive,
        artifacts=FolderArtifacts(home),
        pairs=PAIRS,
        strategies=STRATEGIES,
        dump=yaml_text.dump,
        load=yaml_text.load,
        **{"min_dsr": 0.0, "max_pbo": 1.0, **bounds},
    )


async def promoted(archive: ValkeyTrials, home: Path, now: int = NOW, **bounds: float) -> tuple[Plan, list[Path]]:
    operation = promotion(archive, home, **bounds)
    plan = await operation.plan(now)
    return plan, await operation.carry_out(plan, now)


@asynccontextmanager
async def listening(redis: Redis) -> AsyncIterator[PubSub]:
    async with redis.pubsub() as channel:
        await channel.psubscribe(f"{CHANNEL}*")
        await channel.get_message(timeout=5)
        yield channel


async def heard(redis: Redis, channel: PubSub) -> dict[str, LiveConfigChanged]:
    """Return what was told until now, by instrument."""
    await redis.publish(f"{CHANNEL}end", b"")
    found = {}
    with anyio.fail_after(10):
        while True:
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=5)
            if message is None:
                continue
            name = message["channel"].decode().removeprefix(CHANNEL)
            if name == "end":
                return found
            found[name] = msgspec.json.decode(message["data"], type=LiveConfigChanged)


async def test_winners_are_promoted_and_read_back_as_the_parameters_that_won(
    outside: Outside, archive: ValkeyTrials
) -> None:
    won = {
        "EUR_USD": winner("EUR_USD", c_min="p80", dir_threshold_bps=1e-5),
        "USD_JPY": winner("USD_JPY", c_min=0.1 + 0.2, tp_bps=12.5, strategy="fade"),
        "12_34": winner("12_34"),
    }
    for config in (*won.values(), winner(GLOBAL)):
        await archive.put_best(config)
    plan, files = await promoted(archive, outside.home)
    assert files == [outside.home / FILE]
    assert plan.fates == dict.fromkeys([*won, GLOBAL], "promoted")
    read = await FileParams(outside.home, STRATEGIES).read()
    assert {name: overlay(SETTINGS, entry) for name, entry in read.items()} == {
        name: config.params for name, config in won.items()
    }
    whole = yaml_text.load(files[0].read_bytes())
    assert list(whole) == ["instruments", "global"]
    assert list(whole["instruments"]) == sorted(won)
    assert whole["instruments"]["EUR_USD"]["param_key"] == won["EUR_USD"].param_key
    assert whole["instruments"]["EUR_USD"]["promoted_ts"] == NOW


async def test_the_file_before_is_kept_beside_the_new_one(outside: Outside, archive: ValkeyTrials) -> None:
    await archive.put_best(winner("EUR_USD"))
    _, first = await promoted(archive, outside.home)
    assert not (outside.home / BACKUP).exists()
    before = first[0].read_bytes()
    await archive.put_best(winner("EUR_USD", c_min=0.7))
    plan, files = await promoted(archive, outside.home)
    assert files == [outside.home / BACKUP, outside.home / FILE]
    assert [file.read_bytes() for file in files] == [before, plan.content]
    assert before != plan.content
    assert "-      c_min: 0.55\n+      c_min: 0.7\n" in plan.diff


async def test_who_changed_came_or_went_is_told_and_nobody_else(outside: Outside, archive: ValkeyTrials) -> None:
    for name in ("EUR_USD", "USD_JPY", GLOBAL):
        await archive.put_best(winner(name))
    await promoted(archive, outside.home)
    await outside.redis.delete("opt:best_config:USD_JPY")
    came = winner("12_34", c_min=0.6)
    for config in (came, winner(GLOBAL, c_min=0.6)):
        await archive.put_best(config)
    async with listening(outside.redis) as channel:
        plan, _ = await promoted(archive, outside.home, NOW + 5)
        assert await heard(outside.redis, channel) == {
            "12_34": LiveConfigChanged(instrument="12_34", params=came.params, ts=NOW + 5),
            "USD_JPY": LiveConfigChanged(instrument="USD_JPY", params=None, ts=NOW + 5),
        }
    assert plan.fates == {"12_34": "promoted", "EUR_USD": "unchanged", GLOBAL: "promoted", "USD_JPY": "gone"}
    entries = yaml_text.load((outside.home / FILE).read_bytes())["instruments"]
    assert {name: entry["promoted_ts"] for name, entry in entries.items()} == {"12_34": NOW + 5, "EUR_USD": NOW}


async def test_the_same_winners_later_change_nothing_and_nothing_is_told(
    outside: Outside, archive: ValkeyTrials
) -> None:
    for name in ("EUR_USD", GLOBAL):
        await archive.put_best(winner(name))
    _, files = await promoted(archive, outside.home)
    files[0].write_bytes(b"# mine\n" + files[0].read_bytes())
    before = files[0].stat()
    async with listening(outside.redis) as channel:
        plan, written = await promoted(archive, outside.home, NOW + 60_000)
        assert await heard(outside.redis, channel) == {}
    assert (written, plan.writes, plan.diff) == ([], False, "")
    assert files[0].stat() == before
    assert not (outside.home / BACKUP).exists()


async def test_new_figures_of_the_same_parameters_are_written_but_not_told(
    outside: Outside, archive: ValkeyTrials
) -> None:
    await archive.put_best(winner("EUR_USD"))
    await promoted(archive, outside.home)
    better = msgspec.structs.replace(winner("EUR_USD"), summary=msgspec.structs.replace(SPAN, calmar=3.0))
    await archive.put_best(better)
    async with listening(outside.redis) as channel:
        _, written = await promoted(archive, outside.home)
        assert await heard(outside.redis, channel) == {}
    assert yaml_text.load(written[-1].read_bytes())["instruments"]["EUR_USD"]["summary"]["calmar"] == 3.0


async def test_no_winner_gives_a_valid_empty_file_once(outside: Outside, archive: ValkeyTrials) -> None:
    plan, files = await promoted(archive, outside.home)
    assert files == [outside.home / FILE]
    assert plan.document == {"instruments": {}}
    assert await FileParams(outside.home, STRATEGIES).read() == {}
    assert (await promoted(archive, outside.home))[1] == []


async def test_bounds_stop_winners_and_the_best_of_all(outside: Outside, archive: ValkeyTrials) -> None:
    for config in (winner("EUR_USD", dsr=0.8), winner("USD_JPY"), winner("12_34", dsr=None), winner(GLOBAL, pbo=0.6)):
        await archive.put_best(config)
    plan, _ = await promoted(archive, outside.home, min_dsr=0.85, max_pbo=0.5)
    assert plan.fates == {"USD_JPY": "promoted"}
    assert set(plan.refused) == {"EUR_USD", "12_34", GLOBAL}
    assert "PROMOTE_MIN_DSR" in plan.refused["EUR_USD"]
    assert "PROMOTE_MAX_PBO" in plan.refused[GLOBAL]
    assert set(await FileParams(outside.home, STRATEGIES).read()) == {"USD_JPY"}


async def test_a_winner_that_no_longer_passes_goes_out_of_force(outside: Outside, archive: ValkeyTrials) -> None:
    await archive.put_best(winner("EUR_USD", dsr=0.8))
    await promoted(archive, outside.home)
    plan, _ = await promoted(archive, outside.home, min_dsr=0.85)
    assert plan.fates == {"EUR_USD": "gone"}
    assert plan.changed == {"EUR_USD": None}


async def test_a_winner_that_the_daemon_would_refuse_spoils_no_other(outside: Outside, archive: ValkeyTrials) -> None:
    for config in (winner("EUR_USD", strategy="lost"), winner("USD_JPY")):
        await archive.put_best(config)
    plan, _ = await promoted(archive, outside.home)
    assert "strategy cannot be 'lost'" in plan.refused["EUR_USD"]
    assert set(await FileParams(outside.home, STRATEGIES).read()) == {"USD_JPY"}


async def test_a_plan_alone_writes_and_tells_nothing(outside: Outside, archive: ValkeyTrials) -> None:
    await archive.put_best(winner("EUR_USD"))
    async with listening(outside.redis) as channel:
        plan = await promotion(archive, outside.home).plan(NOW)
        assert await heard(outside.redis, channel) == {}
    assert plan.writes
    assert "+  EUR_USD:\n" in plan.diff
    assert not (outside.home / FILE).exists()


async def test_a_corrupt_winner_or_a_broken_file_stops_the_promotion(outside: Outside, archive: ValkeyTrials) -> None:
    (outside.home / FILE).parent.mkdir()
    (outside.home / FILE).write_text("instruments:\n  EUR_USD: [")
    with pytest.raises(InputError, match=r"config/live_params\.yaml, line 2: it is not YAML"):
        await promoted(archive, outside.home)
    (outside.home / FILE).write_text("instruments: {}\n")
    await archive.put_best(winner("EUR_USD"))
    await outside.redis.set(f"opt:best_config:{GLOBAL}", b"{}")
    with pytest.raises(CorruptPayloadError, match=f"opt:best_config:{GLOBAL}"):
        await promoted(archive, outside.home)
    assert (outside.home / FILE).read_text() == "instruments: {}\n"


async def test_a_file_made_by_hand_in_any_form_is_replaced_and_kept(outside: Outside, archive: ValkeyTrials) -> None:
    (outside.home / FILE).parent.mkdir()
    await archive.put_best(winner("EUR_USD"))
    for text in ("[]", "", "instruments: {EUR_USD: 0.6, ../x: {params: {}}, USD_JPY: {params: 5}}\nelse: 1\n"):
        (outside.home / FILE).write_text(text)
        async with listening(outside.redis) as channel:
            plan, _ = await promoted(archive, outside.home)
            told = await heard(outside.redis, channel)
        assert set(told) == {name for name in ("EUR_USD", "USD_JPY") if name in plan.fates}
        assert set(await FileParams(outside.home, STRATEGIES).read()) == {"EUR_USD"}
        assert (outside.home / BACKUP).read_text() == text


# ---- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1e-5, 1e22, 5e-324, 0.1 + 0.2, 123456789.123456789, -0.0, 2.0, 1])
def test_numbers_read_back_as_they_were(number: float) -> None:
    read = yaml_text.load(yaml_text.dump({"b": {"x": number}, "a": "1e5"}))
    assert read == {"b": {"x": number}, "a": "1e5"}
    assert type(read["b"]["x"]) is type(number)
    assert list(read) == ["b", "a"]


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"a: 1\nb: [", 2), (b"a: 1\n\na: 2", 3), (b"a: 1\nb: \xff", 2), ("é: 1\nb: \0".encode(), 2), (b"[" * 5000, 1)],
)
def test_what_is_not_yaml_is_told_with_its_line(data: bytes, line: int) -> None:
    with pytest.raises(InputError, match=f"^line {line}: it is not "):
        yaml_text.load(data)


# ---- applying -------------------------------------------------------------------------------------------------------


def application(home: Path) -> Apply:
    return Apply(artifacts=FolderArtifacts(home), load=yaml_text.load)


async def test_the_promoted_global_is_applied_once(outside: Outside, archive: ValkeyTrials) -> None:
    await archive.put_best(winner(GLOBAL, c_min=0.6))
    await promoted(archive, outside.home)
    path = outside.home / ".env.hotband"
    path.write_text("# ours\nexport AUTO_MIN_COHERENCE=0.5 # low\nLOG_LEVEL=debug\n")
    apply = application(outside.home)
    edit = await apply.plan()
    assert "0.5 # low" in path.read_text()
    assert edit.changes["AUTO_MIN_COHERENCE"] == ("0.5", "0.6")
    assert edit.changes["GUARD_MIN_COHERENCE"] == (None, "0.6")
    assert await apply.carry_out(edit) == [path]
    assert path.read_text() == (
        "# ours\nexport AUTO_MIN_COHERENCE=0.6 # low\nLOG_LEVEL=debug\n"
        "GUARD_MIN_COHERENCE=0.6\nAUTO_DIRECTION_LOOKBACK=12\nAUTO_DIR_THRESHOLD_BPS=2\n"
    )
    again = await apply.plan()
    assert again.changes == {}
    assert await apply.carry_out(again) == []


async def test_without_a_settings_file_one_is_made(outside: Outside, archive: ValkeyTrials) -> None:
    await archive.put_best(winner(GLOBAL))
    await promoted(archive, outside.home)
    apply = application(outside.home)
    written = await apply.carry_out(await apply.plan())
    assert written[0].read_text().splitlines()[0] == "GUARD_MIN_COHERENCE=0.55"


async def test_without_a_global_nothing_is_applied(outside: Outside, archive: ValkeyTrials) -> None:
    await archive.put_best(winner("EUR_USD"))
    await promoted(archive, outside.home)
    apply = application(outside.home)
    edit = await apply.plan()
    assert (edit.values, edit.changes) == ({}, {})
    assert await apply.carry_out(edit) == []
    assert not (outside.home / ".env.hotband").exists()


async def test_what_cannot_be_applied_is_one_sentence(outside: Outside) -> None:
    apply = application(outside.home)
    with pytest.raises(UsageError, match=r"There is no config/live_params\.yaml to apply; run hotbandd promote first"):
        await apply.plan()
    (outside.home / FILE).parent.mkdir()
    (outside.home / FILE).write_text("global: {params: {c_min: 1.5}}\n")
    with pytest.raises(InputError, match=r"config/live_params\.yaml: global\.params\.c_min cannot be 1\.5"):
        await apply.plan()
    (outside.home / FILE).write_text("global: {params: {c_min: 0.5}}\n")
    (outside.home / ".env.hotband").write_bytes(b"A=\xff\n")
    with pytest.raises(InputError, match=r"\.env\.hotband is not UTF-8 text \(byte 2\)"):
        await apply.plan()
