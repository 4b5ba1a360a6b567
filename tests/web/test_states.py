"""The page in bad times: a daemon that dies, hangs or has no news, a closed market, one instrument and two hundred."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from playwright.sync_api import Page, expect

from hotbandd.adapters.simulator import DEMO_START_MS
from tests.processes import command_line
from tests.valkey import owner
from tests.web.conftest import BRIEF, PATIENCE_MS, SATURDAY_MS, Watched, crowd, market, shown, url_of

MINUTE_MS = 60_000


def alert(page: Page, words: str) -> None:
    expect(page.locator("#alerts")).to_contain_text(words, timeout=PATIENCE_MS)


def test_a_daemon_that_dies_is_missed_and_one_that_comes_again_is_found(tmp_path: Path, watched: Watched) -> None:
    with market(tmp_path, **BRIEF) as daemon:
        url = url_of(daemon)
        page = shown(watched.open(url))
        page.evaluate("window.kept = true")
        assert not page.locator("body.silent").count()
        daemon.end(signal.SIGKILL)
        alert(page, "No word from the daemon for")
        expect(page.locator("#link")).to_contain_text("silent for")
        expect(page.locator("#kill")).to_contain_text("when last heard")
        expect(page.locator("#gates")).to_contain_text("next evaluation not known")
        assert page.locator("body.silent").count()
        assert page.locator("#kill .big").get_attribute("data-mood") == "unknown"
    with market(tmp_path, HOTBAND_HTTP=url.removeprefix("http://").rstrip("/"), **BRIEF):
        expect(page.locator("#link")).to_contain_text("live", timeout=2 * PATIENCE_MS)
        expect(page.locator("#kill")).not_to_contain_text("when last heard")
        assert page.evaluate("window.kept")


def test_a_daemon_that_hangs_is_missed_though_its_connection_stands(tmp_path: Path, watched: Watched) -> None:
    with market(tmp_path, **BRIEF) as daemon:
        page = shown(watched.open(url_of(daemon)))
        daemon.process.send_signal(signal.SIGSTOP)
        alert(page, "No word from the daemon for")
        daemon.process.send_signal(signal.SIGCONT)
        expect(page.locator("#link")).to_contain_text("live", timeout=PATIENCE_MS)
        expect(page.locator("#alerts")).not_to_contain_text("No word", timeout=PATIENCE_MS)


def test_candles_that_stay_away_are_told_and_old_metrics_are_not_shown_as_new(tmp_path: Path, watched: Watched) -> None:
    with market(tmp_path, dry=DEMO_START_MS + 5 * MINUTE_MS, **BRIEF) as daemon:
        page = shown(watched.open(url_of(daemon)))
        alert(page, "No fresh data of any instrument; the newest candle is")
        expect(page.locator("#data .big")).to_have_attribute("data-mood", "bad", timeout=PATIENCE_MS)
        expect(page.locator("#table tbody tr.old")).to_have_count(2, timeout=PATIENCE_MS)
        page.select_option("#show", "old")
        expect(page.locator("#table tbody tr")).to_have_count(2)
        assert "▲" in page.locator("#table .age").first.inner_text()


def test_a_valkey_that_goes_away_is_told_while_the_page_stays(tmp_path: Path, watched: Watched) -> None:
    with market(tmp_path, **BRIEF) as daemon:
        page = shown(watched.open(url_of(daemon)))
        servers = [pid for pid in daemon.family() if "valkey" in command_line(pid)]
        assert servers
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
        alert(page, "What follows is what was last read from Valkey.")
        assert page.locator("#table tbody tr").count() == 2
        for pid in servers:
            os.kill(pid, signal.SIGCONT)
        expect(page.locator("#alerts")).not_to_contain_text("last read from Valkey", timeout=PATIENCE_MS)


def test_a_closed_market_is_no_fault(tmp_path: Path, watched: Watched) -> None:
    with market(tmp_path, begin=SATURDAY_MS, **BRIEF) as daemon:
        page = shown(watched.open(url_of(daemon)))
        alert(page, "The market is closed. It opens Sun 21:00 UTC, in")
        expect(page.locator("#data")).to_contain_text("newest candle; the market is closed")
        expect(page.locator("#alerts .bad")).to_have_count(0)
        for session in ("London", "New York", "Tokyo"):
            expect(page.locator(".session", has_text=session)).to_contain_text("closed")


def test_one_instrument_is_enough(tmp_path: Path, watched: Watched) -> None:
    with market(tmp_path, HOTBAND_PAIRS="EUR_USD", CANDLE_HOT_DAYS="3") as daemon:
        page = shown(watched.open(url_of(daemon)))
        expect(page.locator("#count")).to_have_text("1 instrument")
        expect(page.locator(".session h3")).to_have_text(["London", "New York"])


def test_two_hundred_instruments_of_somebody_else_are_shown_and_found_one_by_one(
    tmp_path: Path, watched: Watched
) -> None:
    with owner(tmp_path) as server, crowd(tmp_path, server.url, 200) as daemon:
        page = shown(watched.open(url_of(daemon)))
        expect(page.locator("#count")).to_have_text("200 instruments")
        expect(page.locator("#leader")).to_contain_text("somebody-else; this one stands by", timeout=PATIENCE_MS)
        expect(page.locator("#gates")).to_contain_text("67 of 200 open", timeout=PATIENCE_MS)
        expect(page.locator("#weights")).to_contain_text("30.0 %")
        assert page.locator("#table tbody tr").count() == 200
        shut = page.locator("#table tbody tr", has_text="USD/EUR")
        expect(shut).to_contain_text("calmar too low, no gain in 14 days, pattern not repeated")
        page.fill("#find", "x007")
        expect(page.locator("#table tbody tr")).to_have_count(1)
        expect(page.locator("#count")).to_have_text("1 of 200 instruments")
        page.fill("#find", "")
        page.select_option("#show", "open")
        expect(page.locator("#table tbody tr")).to_have_count(67)
        page.select_option("#show", "all")
        page.get_by_role("button", name="Calmar").click()
        figures = page.locator("#table tbody .c-calmar .value").all_inner_texts()
        numbers = [float(figure.split()[0].replace("−", "-")) for figure in figures]
        assert numbers == sorted(numbers, reverse=True)
        assert len(set(numbers)) > 100
        chart = daemon.get("/api/instrument/EUR_USD/chart?hours=24")[1]
        assert chart["trades"] is None
        assert "stands by" in chart["note"]
        assert len(chart["metrics"]["t"]) > 200
