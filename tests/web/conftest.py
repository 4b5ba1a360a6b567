"""A browser, and daemons to look at: real processes over a simulated market, at any time and in any state."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from hotbandd.adapters.simulator import DEMO_START_MS
from tests.processes import Daemon, bare_environment
from tests.tools import tool

ROOT = Path(__file__).resolve().parents[2]
SATURDAY_MS = DEMO_START_MS + 3 * 86_400_000
NEVER_MS = DEMO_START_MS + 365 * 86_400_000
PATIENCE_MS = 30_000

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 375, "height": 812}

# As in the demo: an evaluation every five minutes of a clock that runs 60 times as fast.
QUICK = {"EVAL_INTERVAL_SEC": "300", "ALLOC_INTERVAL_SEC": "300", "COOLDOWN_SEC": "1800", "LEASE_TTL_SEC": "5"}

SEASON = {"HOTBAND_PAIRS": "EUR_USD,EUR_JPY,USD_CAD,USD_CHF", "CANDLE_HOT_DAYS": "33"}  # enough to be judged by
BRIEF = {"HOTBAND_PAIRS": "EUR_USD,USD_JPY", "CANDLE_HOT_DAYS": "3"}  # quick to start, and never judged


class Market(Daemon):
    """A daemon and its home, in which other commands join its server."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, home: Path) -> None:
        super().__init__(process, log)
        self.home = home


@contextmanager
def market(
    home: Path, *, begin: int = DEMO_START_MS, speed: float = 60.0, dry: int = NEVER_MS, **settings: str
) -> Iterator[Market]:
    """Run a daemon over the simulated market, from a moment on; whatever comes, nothing of it stays."""
    log = home / "stderr.log"
    wanted = {"HOTBAND_HTTP": "127.0.0.1:0", "HOTBAND_SOURCE": "simulated", **QUICK, **settings}
    command = [sys.executable, "-m", "tests.web.live", str(begin), str(speed), str(dry)]
    with log.open("ab") as err:
        process = subprocess.Popen(command, stdout=err, stderr=err, cwd=ROOT, env=bare_environment(home, wanted))
    daemon = Market(process, log, home)
    try:
        yield daemon
    finally:
        daemon.kill_all()


@contextmanager
def crowd(home: Path, url: str, count: int) -> Iterator[Market]:
    """Run a daemon that stands by, in real time, while somebody else publishes so many instruments on an empty server."""
    pairs, windows = crowd_of(count)
    command = [sys.executable, "-m", "tests.web.publisher", url, *pairs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as publisher:
        try:
            assert publisher.stdout is not None
            assert publisher.stdout.readline() == "published\n"
            now = time.time_ns() // 1_000_000
            settings = {"HOTBAND_PAIRS": ",".join(pairs), "SESSION_WINDOWS_JSON": windows, "EVAL_INTERVAL_SEC": "900"}
            with market(home, begin=now, speed=1.0, VALKEY_URL=url, **settings) as daemon:
                yield daemon
        finally:
            publisher.kill()


def crowd_of(count: int) -> tuple[list[str], str]:
    """Return the names of so many instruments, and the sessions of their currencies."""
    pairs = [f"{a}_{b}" for a, b in itertools.permutations(("EUR", "USD", "JPY", "GBP", "CHF", "CAD", "AUD", "NZD"), 2)]
    extra = [f"X{i:03d}" for i in range(max(0, count - len(pairs)))]
    windows = json.dumps({"currencies": dict.fromkeys(extra, "London")})
    return [*pairs, *(f"{name}_USD" for name in extra)][:count], windows


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """A daemon much as the demo shows it, with gates evaluated and a report of the allocator."""
    with market(tmp_path_factory.mktemp("home"), **SEASON) as daemon:
        daemon.event("allocator.published")
        yield daemon


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium, without a screen."""
    path = tool("chromium", "chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


Open = Callable[..., Page]


class Watched:
    """Pages whose every complaint and every request elsewhere is noted."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._stack = ExitStack()
        self.complaints: list[str] = []
        self.foreign: list[str] = []

    def open(self, url: str, *, before: Callable[[Page], None] = lambda _page: None, **options: Any) -> Page:
        """Open a page in a context of its own; ``before`` is done to it before it is sent anywhere."""
        context: BrowserContext = self._browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
        self._stack.callback(context.close)
        origin = "/".join(url.split("/")[:3])
        context.route(lambda found: not found.startswith((origin, "data:")), self._abroad)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: self._noted(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        before(page)
        page.goto(url)
        return page

    def _abroad(self, route: Route) -> None:
        self.foreign.append(route.request.url)
        route.abort()

    def _noted(self, kind: str, text: str) -> None:
        gone = "net::ERR_" in text  # what the browser says of a daemon that is away
        if kind in {"error", "warning"} and not gone:
            self.complaints.append(f"{kind}: {text}")

    def close(self) -> None:
        """Close all."""
        self._stack.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """Open pages that may not complain, nor ask any other host."""
    pages = Watched(browser)
    yield pages
    pages.close()
    assert not pages.foreign
    assert not pages.complaints


def url_of(daemon: Daemon, path: str = "/") -> str:
    """Return the address of one of its pages."""
    return str(daemon.event("daemon.started")["http"]) + path


def shown(page: Page) -> Page:
    """Wait until a page shows data."""
    expect(page.locator("#link")).to_contain_text("live", timeout=PATIENCE_MS)
    return page
