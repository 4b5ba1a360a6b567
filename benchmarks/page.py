"""Time and weigh the page over a running daemon in a headless browser: ``python -m benchmarks.page [--json] [--pairs N ...]``.

Says how long until the first paint and until the data are shown, how many bytes come over the wire, what a page costs the daemon, and
whether the browser keeps up: its longest task while each instrument's row changes once a minute, and the frames while it scrolls.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, sync_playwright

from tests.tools import tool
from tests.valkey import owner
from tests.web.conftest import DESKTOP, Market, crowd, shown, url_of

LOADS = 7
WATCH_SEC = 30.0
PAGES = 8
MINUTE_SEC = 65.0
SCROLL_SEC = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


def load(browser: Browser, url: str) -> dict[str, float]:
    """Open a page anew; return ms until it is painted and until its data are there, and bytes, without the chart library."""
    context = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]
    page = context.new_page()
    session = context.new_cdp_session(page)
    urls: dict[str, str] = {}
    sums = {"bytes": 0.0, "library": 0.0}

    def finished(event: dict[str, Any]) -> None:
        kind = "library" if urls.get(event["requestId"], "").endswith("plotly.min.js") else "bytes"
        sums[kind] += event["encodedDataLength"]

    session.on("Network.requestWillBeSent", lambda event: urls.__setitem__(event["requestId"], event["request"]["url"]))
    session.on("Network.loadingFinished", finished)
    session.send("Network.enable")
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    shown(page)
    told = (time.perf_counter() - began) * 1000
    paint = page.evaluate(
        "() => new Promise(done => { const look = () => { const found = performance.getEntriesByName('first-contentful-paint')[0];"
        " found ? done(found.startTime) : setTimeout(look, 20); }; look(); })"
    )
    if "/instrument/" in url:
        page.wait_for_selector("#equity .main-svg")
    context.close()
    return {"first_paint_ms": paint, "data_ms": told, **sums}


def cpu_sec(daemon: Market) -> float:
    """Return the processor time of the daemon's own process so far."""
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def listening(url: str, count: int) -> Iterator[list[socket.socket]]:
    """Listen to the events as so many pages would; what comes is taken and thrown away by the kernel's buffers and ``drain``."""
    with ExitStack() as stack:
        sockets = []
        parts = urlsplit(url)
        for _ in range(count):
            one = stack.enter_context(socket.create_connection((str(parts.hostname), int(parts.port or 80))))
            one.sendall(f"GET /api/events HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            one.settimeout(0.0)
            sockets.append(one)
        yield sockets


def drain(sockets: list[socket.socket], seconds: float) -> int:
    """Take what comes for some seconds; return the bytes."""
    end, taken = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for one in sockets:
            try:
                taken += len(one.recv(1 << 20))
            except BlockingIOError:
                continue
        time.sleep(0.05)
    return taken


def cost(daemon: Market, count: int) -> dict[str, float]:
    """Return the share of a core that the daemon takes, in percent, while so many pages listen, and the bytes each of them gets per second."""
    with listening(url_of(daemon), count) as sockets:
        drain(sockets, 3.0)
        before, began = cpu_sec(daemon), time.monotonic()
        taken = drain(sockets, WATCH_SEC)
        share = 100 * (cpu_sec(daemon) - before) / (time.monotonic() - began)
    return {"cpu_percent": share, "bytes_per_sec": taken / max(1, count) / WATCH_SEC}


def smoothness(browser: Browser, url: str) -> dict[str, float]:
    """Return the longest task of a page within a minute of news, and its frames per second while it scrolls."""
    context = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    shown(page)
    page.evaluate(
        "() => { window.tasks = []; new PerformanceObserver(list => window.tasks.push(...list.getEntries().map(one => one.duration)))"
        ".observe({entryTypes: ['longtask']}); }"
    )
    page.wait_for_timeout(MINUTE_SEC * 1000)
    tasks = page.evaluate("window.tasks")
    frames = page.evaluate(
        "seconds => new Promise(done => { const began = performance.now(); const gaps = []; let last = began; const step = at => {"
        " gaps.push(at - last); last = at; window.scrollBy(0, 40); if (innerHeight + scrollY >= document.body.scrollHeight) window.scrollTo(0, 0);"
        " at - began < 1000 * seconds ? requestAnimationFrame(step) : done(gaps.slice(1)); }; requestAnimationFrame(step); })",
        SCROLL_SEC,
    )
    context.close()
    return {
        "tasks_over_50_ms": len(tasks),
        "longest_task_ms": max(tasks, default=0.0),
        "frames_per_sec": 1000 / statistics.mean(frames),
        "longest_frame_ms": max(frames),
    }


def measure(browser: Browser, count: int) -> dict[str, Any]:
    """Measure everything for so many instruments, published in real time by another leader."""
    with (
        tempfile.TemporaryDirectory() as home,
        owner(Path(home)) as server,
        crowd(Path(home), server.url, count) as daemon,
    ):
        url = url_of(daemon)
        time.sleep(5)  # what the start has left to do
        loads = [load(browser, url) for _ in range(LOADS)]
        found: dict[str, Any] = {
            "instruments": count,
            **{name: statistics.median(one[name] for one in loads) for name in loads[0]},
            "best_first_paint_ms": min(one["first_paint_ms"] for one in loads),
        }
        found["instrument_page"] = load(browser, url.rstrip("/") + "/instrument/EUR_USD")
        found["smooth"] = smoothness(browser, url)
        time.sleep(20)  # until nobody looks any more
        costs = {pages: cost(daemon, pages) for pages in (0, 1, PAGES + 1)}
        found["cpu_percent"] = {pages: one["cpu_percent"] for pages, one in costs.items()}
        found["each_further_page_percent"] = (costs[PAGES + 1]["cpu_percent"] - costs[1]["cpu_percent"]) / PAGES
        found["bytes_per_sec"] = costs[1]["bytes_per_sec"]
        return found


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", type=int, nargs="*", default=[8, 200])
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool("chromium", "chromium"), args=["--no-sandbox"])
        results = [measure(browser, count) for count in given.pairs]
        browser.close()
    load_average = os.getloadavg()[0]
    if given.json:
        print(json.dumps({"load_average": load_average, "results": results}))
        return
    print(f"load of the machine {load_average:.1f} on {os.cpu_count()} cores")
    for one in results:
        print(json.dumps(one, indent=1))


if __name__ == "__main__":
    main()
