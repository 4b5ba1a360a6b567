"""The page in a browser, over a running daemon: what it shows, how it is used, and what it weighs."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.processes import hotbandd
from tests.web.conftest import DESKTOP, PATIENCE_MS, PHONE, SEASON, Market, Watched, shown, url_of

PAIRS = SEASON["HOTBAND_PAIRS"].split(",")
BUDGET_BYTES = 300_000
WAYS = ["/", "/instrument/EUR_USD"]
AXE = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}


def words(page: Page, selector: str) -> str:
    return " ".join(page.locator(selector).inner_text().split())


def drawn(page: Page) -> Page:
    """Wait until an instrument's charts are drawn."""
    shown(page)
    page.wait_for_selector("#chart .main-svg")
    page.wait_for_selector("#equity .main-svg")
    return page


def test_it_shows_at_a_glance_what_is_published(watched: Watched, live: Market) -> None:
    page = shown(watched.open(url_of(live)))
    published = live.get("/api/page")[1]
    assert "Released" in words(page, "#kill")
    assert "This daemon" in words(page, "#leader")
    assert published["daemon"]["holder"] in words(page, "#leader")
    assert re.search(r"\d+ s old|\d+ min old", words(page, "#data"))
    assert re.search(rf"\d of {len(PAIRS)} open|Unknown", words(page, "#gates"))
    assert re.search(r"next evaluation in \d+:\d\d", words(page, "#gates"))
    assert re.search(r"next allocation in \d+:\d\d", words(page, "#allocation"))
    assert re.search(r"London CHF EUR \S*open closes 15:00, in ", words(page, "#sessions"))
    assert "of at most 30 %" in words(page, "#weights")
    assert page.locator("#table tbody tr").count() == len(PAIRS)
    assert page.locator("#table tbody tr").first.locator(".spark path[d]").count() == 4


def test_a_shut_gate_says_why_in_words_and_an_open_one_how_often_it_passed(watched: Watched, live: Market) -> None:
    page = shown(watched.open(url_of(live)))
    gates = dict(
        zip(page.locator("#table tbody th a").all_inner_texts(), page.locator(".chip").all_inner_texts(), strict=False)
    )
    whys = dict(zip(gates, page.locator("#table tbody .c-why").all_inner_texts(), strict=True))
    for pair, word in gates.items():
        assert re.search(r"\d+ pass(es)? in a row", whys[pair]) if "open" in word else whys[pair], (pair, word)
        assert "_" not in whys[pair]


def test_it_moves_with_the_daemon_without_being_loaded_again(watched: Watched, live: Market) -> None:
    page = shown(watched.open(url_of(live)))
    page.evaluate("window.kept = true")
    before = live.get("/api/page")[1]["gates"]["evaluated_ts"]
    live.until(lambda: live.get("/api/page")[1]["gates"]["evaluated_ts"] != before, "another evaluation")
    after = live.get("/api/page")[1]["gates"]["evaluated_ts"]
    clock = f"{after // 3_600_000 % 24:02d}:{after // 60_000 % 60:02d}"
    expect(page.locator("#gates")).to_contain_text(clock, timeout=PATIENCE_MS)
    assert page.evaluate("window.kept")


def test_the_kill_switch_is_seen_as_soon_as_it_is_engaged(watched: Watched, live: Market) -> None:
    page = shown(watched.open(url_of(live)))
    home = live.home
    assert hotbandd(home, "kill", "engage").code == 0
    try:
        expect(page.locator("#kill")).to_contain_text("Engaged", timeout=PATIENCE_MS)
        assert "no weight rises" in words(page, "#kill")
        assert page.locator("#kill .big").get_attribute("data-mood") == "bad"
    finally:
        assert hotbandd(home, "kill", "release").code == 0
    expect(page.locator("#kill")).to_contain_text("Released", timeout=PATIENCE_MS)


def test_an_instrument_has_charts_an_explanation_and_its_trades(watched: Watched, live: Market) -> None:
    page = drawn(watched.open(url_of(live, "/instrument/EUR_USD")))
    assert words(page, "h1") == "EUR/USD"
    assert page.locator("#reasons li").count() >= 1
    assert page.locator("#flip li").count() >= 1
    assert page.locator("#figures tbody tr").count() == 5
    assert page.locator("#guards tbody tr").count() == 5
    chart = live.get("/api/instrument/EUR_USD/chart?hours=24")[1]
    assert page.locator("#trades tbody tr").count() == min(40, len(chart["trades"])) > 0
    assert "24 h" in words(page, "#hours [aria-pressed=true]")
    page.get_by_role("button", name="6 h").click()
    expect(page.locator("#chart-note")).to_contain_text("one-minute candles", timeout=PATIENCE_MS)
    assert page.url.endswith("#6")


def test_an_instrument_that_is_not_followed_is_told_so(watched: Watched, live: Market) -> None:
    page = shown(watched.open(url_of(live, "/instrument/XAU_USD")))
    page.wait_for_selector("#missing:not([hidden])")
    assert "XAU/USD is not among the instruments" in words(page, "#missing")
    watched.complaints = [each for each in watched.complaints if "404" not in each]  # the browser names the answer


@pytest.mark.parametrize("path", WAYS)
def test_everyone_can_read_it(watched: Watched, live: Market, path: str) -> None:
    page = watched.open(url_of(live, path))
    shown(page) if path == "/" else drawn(page)
    for scheme, viewport in product(("light", "dark"), (DESKTOP, PHONE)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        found = Axe().run(page, options=AXE)
        assert found.violations_count == 0, f"{scheme} {viewport}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_the_theme_follows_the_system_until_one_is_chosen_and_that_one_stays(watched: Watched, live: Market) -> None:
    page = shown(watched.open(url_of(live), color_scheme="dark"))
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Light theme").click()
    light = page.evaluate(background)
    assert light != dark
    shown(page).reload()
    assert page.evaluate(background) == light
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(background) == dark


def test_the_keyboard_reaches_everything_and_shows_where_it_is(watched: Watched, live: Market) -> None:
    page = shown(watched.open(url_of(live)))
    where = """() => {
      const node = document.activeElement;
      return {
        name: (node.textContent || node.getAttribute('aria-label') || '').trim(), id: node.id,
        outline: getComputedStyle(node).outlineStyle, top: node.getBoundingClientRect().top,
      };
    }"""
    page.keyboard.press("Tab")
    first = page.evaluate(where)
    assert first["name"] == "Skip to the instruments"
    assert first["top"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate(where)["id"] == "instruments"
    names = []
    for _ in range(40):
        page.keyboard.press("Tab")
        found = page.evaluate(where)
        names.append(found["id"] or found["name"])
        assert found["outline"] not in {"none", ""} or found["id"] in {"", "find"}, found
        if found["name"] == "Calmar":
            break
    assert {"find", "show", "Instrument", "Gate", "C"} <= set(names)
    page.keyboard.press("Enter")
    heading = page.locator("thead th.c-calmar")
    assert heading.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    page.get_by_role("link", name="EUR/USD").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/instrument/EUR_USD")


def test_instruments_are_found_filtered_and_sorted_and_the_address_remembers(watched: Watched, live: Market) -> None:
    page = shown(watched.open(url_of(live)))
    names = page.locator("#table tbody th a")
    page.fill("#find", "jpy")
    assert names.all_inner_texts() == ["EUR/JPY"]
    assert words(page, "#count") == f"1 of {len(PAIRS)} instruments"
    page.fill("#find", "")
    page.get_by_role("button", name="Instrument").click()
    ordered = [pair.replace("_", "/") for pair in sorted(PAIRS)]
    assert names.all_inner_texts() == ordered
    page.get_by_role("button", name="Instrument").click()
    assert names.all_inner_texts() == ordered[::-1]
    page.select_option("#show", "session")
    page.reload()
    shown(page)
    assert page.locator("#show").input_value() == "session"
    assert page.locator("thead th.c-name").get_attribute("aria-sort") == "descending"
    page.select_option("#show", "old")
    assert names.count() == 0
    assert words(page, "#count") == f"0 of {len(PAIRS)} instruments"


def test_times_are_utc_and_say_what_they_are_here(watched: Watched, live: Market) -> None:
    page = shown(watched.open(url_of(live), timezone_id="Asia/Tokyo"))
    stamp = page.locator("#gates time").first
    moment = live.get("/api/page")[1]["gates"]["evaluated_ts"]
    assert re.fullmatch(r"\d\d:\d\d", stamp.inner_text())
    assert moment
    title = stamp.get_attribute("title") or ""
    assert "your time" in title
    utc, local = int(stamp.inner_text()[:2]), int(re.search(r"(\d\d):\d\d:\d\d", title)[1])  # type: ignore[index]
    assert (utc + 9) % 24 == local


def test_the_overview_stays_within_its_weight_and_leaves_the_chart_library_alone(
    watched: Watched, live: Market
) -> None:
    assert weight(watched, url_of(live)) == {
        "library": 0,
        "rest": pytest.approx(BUDGET_BYTES / 4, abs=BUDGET_BYTES / 4),
    }
    found = weight(watched, url_of(live, "/instrument/EUR_USD"))
    assert found["library"] > 0
    assert found["rest"] < BUDGET_BYTES


def weight(watched: Watched, url: str) -> dict[str, int]:
    """Return how many bytes come over the wire until a page is drawn."""
    urls: dict[str, str] = {}
    sums = {"library": 0, "rest": 0}

    def finished(event: dict[str, Any]) -> None:
        library = urls.get(event["requestId"], "").endswith("plotly.min.js")
        sums["library" if library else "rest"] += int(event["encodedDataLength"])

    def before(page: Page) -> None:
        session = page.context.new_cdp_session(page)
        session.on(
            "Network.requestWillBeSent", lambda told: urls.__setitem__(told["requestId"], told["request"]["url"])
        )
        session.on("Network.loadingFinished", finished)
        session.send("Network.enable")

    page = watched.open(url, before=before)
    shown(page) if url.endswith("/") else drawn(page)
    return sums


def test_a_page_takes_nothing_from_elsewhere_and_runs_nothing_that_was_written_into_it(
    watched: Watched, live: Market
) -> None:
    page = watched.open(url_of(live))
    policy = page.request.get(url_of(live)).headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in each for each in watched.complaints)
    watched.complaints.clear()


def test_what_others_write_is_shown_as_text(watched: Watched, live: Market) -> None:
    evil = "<img src=x onerror=window.ran=1>"

    def answer(route: Route) -> None:
        document = json.loads(json.dumps(live.get("/api/page")[1]))
        document["daemon"] |= {"holder": evil, "leading": False, "troubles": [evil]}
        document["instruments"]["EUR_USD"] |= {"reasons": [{"code": evil, "brief": evil, "words": evil}], "gate": 0}
        document["allocation"]["words"] = evil
        route.fulfill(json=document)

    def before(page: Page) -> None:
        page.route("**/api/page", answer)
        page.route("**/api/events*", lambda route: route.abort())

    page = shown(watched.open(url_of(live), before=before))
    assert evil in words(page, "#leader")
    assert evil in words(page, "#alerts")
    assert evil in words(page, "#table")
    assert page.locator("main img").count() == 0
    assert page.evaluate("window.ran") is None
    watched.complaints = [
        each for each in watched.complaints if "ERR_FAILED" not in each
    ]  # the events that were kept away
