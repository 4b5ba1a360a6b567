"""``hotbandd watch`` as a person sees it: in a terminal, over a real store."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.core.documents import ClockAnchor, Floors, GatesBlob, GateState, Guard
from hotbandd.ports import Evaluation, ManifoldUpdate
from tests.adapters import store_samples as samples
from tests.processes import COMMAND, bare_environment, hotbandd
from tests.terminal import COLOUR, terminal
from tests.valkey import Owner, owner

PAIRS = ("EUR_USD", "USD_JPY", "GBP_USD")
MINUTE_MS = 60_000
LONG_MS = 3_600_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    with owner(tmp_path_factory.mktemp("server")) as owned:
        yield owned


@pytest.fixture
def url(server: Owner) -> str:
    publish(server.url)
    return server.url


def publish(url: str, pairs: tuple[str, ...] = PAIRS, *, at: int | None = None, evaluated: int | None = None) -> None:
    """Publish what a daemon would have at a moment, now unless another is given; the first instrument is open."""
    anyio.run(_published, url, pairs, at or time.time_ns() // 1_000_000, evaluated)


async def _published(url: str, pairs: tuple[str, ...], now: int, evaluated: int | None) -> None:
    slot = now // MINUTE_MS * MINUTE_MS if evaluated is None else evaluated
    async with open_valkey(url, samples.AGES) as store:
        await store._backend.client.flushall()
        lease = await store.acquire_lease("host-7", LONG_MS)
        assert lease is not None
        await store.set_kill_switch(engaged=True)
        met = Guard(coherence=True, stability=True, entropy=True, rupture=True, hazard=True)
        blob = GatesBlob(
            ts=slot,
            evaluated_ts=slot,
            gates={pair: int(i == 0) for i, pair in enumerate(pairs)},
            cooldowns={pair: int(i == 2) for i, pair in enumerate(pairs)},
            bufs=dict.fromkeys(pairs, 0.12),
            reasons={
                pair: [[], ["recent_loss", "session_closed"], ["cooldown"]][min(i, 2)] for i, pair in enumerate(pairs)
            },
            guards=dict.fromkeys(pairs, met),
            epoch=lease.epoch,
            seq=slot,
        )
        state = GateState(eligible=True, last_slot=slot, param_key=samples.PARAM_KEY)
        states = {
            pair: [state, GateState(passes=1), GateState(cooldown_until=now + 90 * MINUTE_MS)][min(i, 2)]
            for i, pair in enumerate(pairs)
        }
        summary = replace(
            samples.summary(slot, lease.epoch, slot),
            summary={"30": samples.SPAN, "14": samples.SPAN},
            gates=Floors(min_trades=8, calmar_min=0.1, pnl_min=0.0),
        )
        summaries = {pair: replace(summary, instrument=pair) for pair in pairs}
        await store.publish_evaluation(lease, Evaluation(blob, states, summaries, {}))
        for pair in pairs:
            points = [
                samples.point(now - minute * MINUTE_MS) for minute in range(1500 if len(pairs) < 10 else 1, 0, -1)
            ]
            document = samples.manifold(now // MINUTE_MS * MINUTE_MS, lease.epoch, slot, pair)
            await store.publish_manifold(lease, ManifoldUpdate(document, points, []))
        weights = replace(samples.weights(slot, lease.epoch, slot), weights={pairs[0]: 0.05})
        status = replace(
            samples.status(slot, lease.epoch, slot), held=True, held_since=slot, reason="too_few_candidates"
        )
        await store.publish_allocation(lease, weights, status)


def followed(url: str, pairs: tuple[str, ...] = PAIRS) -> dict[str, str]:
    return {"VALKEY_URL": url, "HOTBAND_PAIRS": ",".join(pairs), "SESSION_TRADING_ENABLED": "0"}


def test_all_of_it_at_eighty_columns_and_q_gives_the_terminal_back(home, url):
    with terminal(home, "watch", **followed(url)) as shown:
        before = shown.settings()
        screen = shown.shows("▅▅▅▅", "USD_JPY", "q ends")  # the foot is drawn last
        for told in (
            "ENGAGED: no weight rises",
            "host-7 leads, epoch",
            "1 of 3 open",
            "It holds the weights as they are: too few open gates with a fresh",
            "0.050 of 0.3",
            "at most 0.1 each",
            "EUR_USD    open    C0.50▅▅▅▅▅ S0.50▅▅▅▅▅ H0.50▅▅▅▅▅ R0.50▅▅▅▅▅ █████····· 0.050",
            "no gain in 14 days, session closed  1/2 passes",
            "0/2 fails  calmar ✓ 2.00/0.10  pnl ✓ +2.0%/0.0%  buf 0.12",
            "cools down 1 h 29 min more",
            "q ends",
        ):
            assert told in screen, told
        assert "London" in screen
        assert max(map(len, screen.splitlines())) <= 80
        shown.type("q")
        assert shown.ended() == 0
        assert shown.settings() == before
    assert shown.raw.endswith(b"\x1b[?25h") or b"\x1b[?25h" in shown.raw[-40:]
    assert b"\x1b[?1049h" in shown.raw
    assert shown.raw.rindex(b"\x1b[?1049l") > shown.raw.rindex(b"\x1b[?1049h")
    assert b"Traceback" not in shown.raw


def test_wider_it_tells_more_and_a_new_size_is_taken_up(home, url):
    with terminal(home, "watch", columns=80, **followed(url)) as shown:
        shown.shows("▅▅▅▅")
        shown.resize(200, 30)
        shown.shows("instrument", "calmar/floor", "pnl/floor", "in a row", "buffer", "EUR_USD", "q ends")
        screen = shown.until(lambda text: text.count("EUR_USD") == 1 and "▅" * 2 in text)  # drawn anew as a whole
        (line,) = [line for line in screen.splitlines() if line.startswith("EUR_USD")]
        assert "✓ 2.00/0.10" in line
        assert line.index("open") == screen.splitlines()[screen.splitlines().index(line) - 1].index("gate")
        shown.resize(60, 20)
        shown.until(lambda text: "calmar/floor" not in text and "EUR_USD" in text)


@pytest.mark.parametrize("end", ["\x03", signal.SIGTERM, "\x04"])
def test_ctrl_c_and_sigterm_end_it_well(home, url, end):
    with terminal(home, "watch", **followed(url)) as shown:
        before = shown.settings()
        shown.shows("EUR_USD")
        shown.type(end) if isinstance(end, str) else shown.process.send_signal(end)
        assert shown.ended() == 0
        assert shown.settings() == before
    assert b"\x1b[?1049l" in shown.raw
    assert b"Traceback" not in shown.raw


def test_two_hundred_instruments_are_walked_through(home, server):
    pairs = tuple(f"AA{i:03d}_USD" for i in range(200))
    publish(server.url, pairs)
    with terminal(home, "watch", columns=160, lines=30, **followed(server.url, pairs)) as shown:
        shown.shows("AA000_USD", "1 to ", " of 200 instruments")
        shown.type("j")
        shown.until(lambda text: "AA000_USD" not in text and "AA001_USD" in text)
        shown.type("G")
        shown.shows("AA199_USD", "to 200 of 200")
        shown.type("\x1b[B\x1b[5~")  # as a terminal sends keys that come fast
        shown.until(lambda text: "AA199_USD" not in text)
        shown.type("g")
        shown.shows("AA000_USD")


def test_old_gates_are_called_so_and_not_shown_as_open(home, server):
    now = time.time_ns() // 1_000_000
    publish(server.url, at=now, evaluated=now - 26 * LONG_MS)
    with terminal(home, "watch", columns=160, **followed(server.url)) as shown:
        screen = shown.shows("STALE, they count as unknown: evaluated 1 d 2 h ago", "The gates are STALE", "q ends")
        (line,) = [line for line in screen.splitlines() if line.startswith("EUR_USD")]
        assert "STALE" in line
        assert "open" not in line


def test_while_valkey_is_away_it_says_so_and_recovers(home, tmp_path_factory):
    place = tmp_path_factory.mktemp("away")
    with owner(place) as server:
        publish(server.url)
        url = server.url
        with terminal(home, "watch", columns=160, **followed(url)) as shown:
            shown.shows("EUR_USD", "1 of 3 open")
            server.process.communicate()
            screen = shown.shows("NOT LIVE: what follows is of ", "q ends")
            assert "EUR_USD" in screen
            with owner(place) as again:
                assert again.url == url
                publish(url)
                shown.until(lambda text: "NOT LIVE" not in text and "1 of 3 open" in text)
                shown.type("q")
                assert shown.ended() == 0


def test_a_fast_clock_is_honoured(home, server):
    wall = time.time_ns() // 1_000_000
    moment = 1_718_800_200_000  # 2024-06-19 12:30 UTC
    publish(server.url, at=moment)

    async def anchored() -> None:
        async with open_valkey(server.url, samples.AGES) as store:
            await store.set_clock(ClockAnchor(anchor_wall=wall, anchor_virtual=moment, speed=2.0))

    anyio.run(anchored)
    settings = {**followed(server.url), "SESSION_TRADING_ENABLED": "1"}
    with terminal(home, "watch", columns=160, **settings) as shown:
        shown.shows("2024-06-19 12:3", "2 x as fast", "London open to 15:00", "Tokyo shut to 23:00")


def test_without_colours_all_is_said_in_words_and_signs(home, url):
    with terminal(home, "watch", columns=160, NO_COLOR="1", **followed(url)) as shown:
        shown.shows("ENGAGED", "shut", "open", "✓")
        shown.type("q")
        shown.ended()
    assert not COLOUR.search(shown.raw)
    with terminal(home, "watch", columns=160, **followed(url)) as shown:
        shown.shows("ENGAGED")
        assert COLOUR.search(shown.raw)


def test_a_document_that_cannot_be_read_is_told_and_the_rest_is_shown(home, url):
    async def spoilt() -> None:
        async with open_valkey(url, samples.AGES) as store:
            await store._backend.client.set(keys.WEIGHTS, b'{"schema":1}')

    anyio.run(spoilt)
    with terminal(home, "watch", columns=160, **followed(url)) as shown:
        shown.shows("The value at risk:allocation_weights is not what hotband writes there", "1 of 3 open")


def test_where_the_output_is_no_terminal_it_is_one_frame(cli, url):
    ended = cli("watch", **followed(url))
    assert ended.code == 0, ended.err
    assert "\x1b" not in ended.out
    assert "▅▅▅▅" in ended.out
    assert ended.out.count("kill switch") == 1
    once = cli("watch", "--once", "--json", **followed(url))
    assert once.out.count("\n") == 1
    assert json.loads(once.out)["gates"]["open"] == 1


def test_changes_as_lines_of_json(home, url):
    environment = bare_environment(home, followed(url))
    with subprocess.Popen([*COMMAND, "watch", "--json"], stdout=subprocess.PIPE, cwd=home, env=environment) as process:
        assert process.stdout is not None
        first: dict[str, Any] = json.loads(process.stdout.readline())
        assert set(first["instruments"]) == set(PAIRS) == set(first["days"])
        assert first["kill_switch"] == {"engaged": True, "words": "engaged: no weight rises"}
        assert first["instruments"]["USD_JPY"]["reasons"][0]["words"] == "it did not earn in the last 14 days"
        assert hotbandd(home, "kill", "release", **followed(url)).code == 0
        changed = next(line for raw in process.stdout if "kill_switch" in (line := json.loads(raw)))
        assert changed["kill_switch"]["engaged"] is False
        assert changed["version"] > first["version"]
        assert "allocation" not in changed
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert process.returncode == 0


def test_status_shows_the_same_frame_and_what_is_amiss_decides_the_code(cli, url):
    healthy = cli("status", **followed(url))
    assert healthy.code == 0, healthy.err
    assert "no gain in 14 days" in healthy.out
    assert "ENGAGED" in healthy.out
    shown = json.loads(cli("status", "--json", **followed(url)).out)
    assert shown["healthy"] is True
    assert shown["blob"]["gates"] == {"EUR_USD": 1, "USD_JPY": 0, "GBP_USD": 0}
    now = time.time_ns() // 1_000_000
    publish(url, at=now, evaluated=now - 2 * LONG_MS)
    stale = cli("status", **followed(url))
    assert stale.code == 4
    assert "STALE" in stale.out
    assert "The gates are STALE: 2 h old." in stale.err
