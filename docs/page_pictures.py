"""Take the pictures of the page for the README, from the market that the demo shows.

python -m docs.page_pictures
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.tools import tool
from tests.web.conftest import Market, market, shown, url_of

IMAGES = Path(__file__).parent / "images"
SIZE = {"width": 1360, "height": 850}
TALL = {"width": 1360, "height": 1500}
SETTLED = 12  # evaluations, until gates have opened and weights are there
MOST_BYTES = 200_000


def picture(browser: Browser, url: str, name: str, scheme: str) -> None:
    context = browser.new_context(
        viewport=TALL if "/instrument/" in url else SIZE, color_scheme=scheme, locale="en-GB", timezone_id="UTC"
    )  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    shown(page)
    if "/instrument/" in url:
        page.wait_for_selector("#equity .main-svg")
    page.wait_for_timeout(1500)
    path = IMAGES / name
    page.screenshot(path=path)
    context.close()
    small(path)


def small(path: Path) -> None:
    """Keep 256 colours: a page has few, and the file a bound."""
    with Image.open(path) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path} is larger than {MOST_BYTES} bytes")


def wait(daemon: Market) -> None:
    while len(daemon.events("evaluator.published")) < SETTLED:
        time.sleep(0.5)


def main() -> None:
    with tempfile.TemporaryDirectory() as home, market(Path(home)) as daemon, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool("chromium", "chromium"), args=["--no-sandbox"])
        wait(daemon)
        picture(browser, url_of(daemon), "page.png", "light")
        picture(browser, url_of(daemon), "page-dark.png", "dark")
        picture(browser, url_of(daemon, "/instrument/EUR_USD"), "instrument.png", "light")
        browser.close()


if __name__ == "__main__":
    main()
