"""Logs: format, level, redaction."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.adapters.log import configure, on_failure, redactor
from hotbandd.settings import MASK, Secret

SECRET = 'hu"sh\\é/1'


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers, root.level, logging.raiseExceptions = before, level, raising
    structlog.reset_defaults()


@pytest.fixture
def stream() -> StringIO:
    return StringIO()


def lines(stream: StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_a_utc_stamp(stream: StringIO) -> None:
    configure("info", "auto", interactive=False, stream=stream)
    structlog.get_logger("hotbandd.test").info("slot.evaluated", instrument="EUR_USD", seconds=0.5, pairs=("a", "b"))
    (line,) = lines(stream)
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset().total_seconds() == 0
    assert line == {
        "event": "slot.evaluated",
        "level": "info",
        "logger": "hotbandd.test",
        "instrument": "EUR_USD",
        "seconds": 0.5,
        "pairs": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("log_format", "interactive", "is_json"),
    [("auto", False, True), ("auto", True, False), ("json", True, True), ("console", False, False)],
)
def test_people_get_a_console_and_programs_json(
    stream: StringIO, log_format: str, interactive: bool, is_json: bool
) -> None:
    configure("info", log_format, interactive=interactive, stream=stream)
    structlog.get_logger().info("x.happened", n=1)
    assert stream.getvalue().startswith("{") == is_json
    assert ("\x1b[" in stream.getvalue()) == (interactive and not is_json)


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_what_is_below_the_level_is_not_logged(stream: StringIO, level: str, count: int) -> None:
    configure(level, "json", interactive=False, stream=stream)
    for log in (structlog.get_logger(), logging.getLogger("some.library")):
        log.debug("a")
        log.info("b")
        log.warning("c")
    assert len(lines(stream)) == 2 * count


def test_the_standard_library_logs_through_the_same(stream: StringIO) -> None:
    configure("info", "json", interactive=False, stream=stream)
    logging.getLogger("some.library").warning("lost %d of %s", 3, "five")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("lost 3 of five", "warning", "some.library")


@pytest.mark.parametrize("library", ["httpx", "httpcore.connection", "redis"])
def test_libraries_are_heard_from_warnings_on(stream: StringIO, library: str) -> None:
    configure("debug", "json", interactive=False, stream=stream)
    logging.getLogger(library).info("HTTP Request: GET https://example.org")
    logging.getLogger(library).warning("trouble")
    assert [line["event"] for line in lines(stream)] == ["trouble"]


def test_what_the_http_server_says_of_bad_requests_is_not_logged_and_what_broke_is(stream: StringIO) -> None:
    configure("debug", "json", interactive=False, stream=stream)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    assert [line["event"] for line in lines(stream)] == ["Exception in ASGI application"]


def test_configuring_again_replaces_the_stream(stream: StringIO) -> None:
    other = StringIO()
    configure("info", "json", interactive=False, stream=stream)
    log = structlog.get_logger()
    log.info("first")
    configure("info", "json", interactive=False, stream=other)
    log.info("second")
    assert [line["event"] for line in lines(stream)] == ["first"]
    assert [line["event"] for line in lines(other)] == ["second"]


@dataclass
class Holder:
    text: str


def fail(text: str) -> None:
    raise ValueError(text)


def say(log: structlog.BoundLogger) -> None:
    log.info(f"event {SECRET}", text=SECRET, nested={"a": [SECRET, (SECRET,)], SECRET: 1}, key=b"x")
    log.info("objects", holder=Holder(SECRET), error=ValueError(SECRET), secret=Secret(SECRET), several={SECRET})
    log.bind(bound=SECRET).warning("bound")
    try:
        fail(f"https://example.org?token={SECRET}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("some.library").exception("failed with %s", SECRET)
        logging.getLogger("some.library").info("body %s", json.dumps({"token": SECRET}))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_secret_is_masked_wherever_it_stands(stream: StringIO, log_format: str) -> None:
    configure("info", log_format, interactive=False, stream=stream, secrets=[SECRET, ""])
    say(structlog.get_logger())
    seen = stream.getvalue()
    assert "hu" + SECRET[2:4] not in seen
    assert "sh" not in seen.replace(MASK, "")
    assert seen.count(MASK) >= 13


def test_without_secrets_nothing_is_masked(stream: StringIO) -> None:
    configure("info", "json", interactive=False, stream=stream)
    say(structlog.get_logger())
    assert SECRET in lines(stream)[0]["event"]
    assert "Traceback" in lines(stream)[3]["exception"]


def test_what_is_no_number_in_json_is_a_text(stream: StringIO) -> None:
    configure("info", "json", interactive=False, stream=stream)
    structlog.get_logger().info("odd", a=float("nan"), b=float("inf"), c=None, d=True, e=datetime(2026, 1, 1))  # noqa: DTZ001
    (line,) = lines(stream)
    assert [line[key] for key in "abcde"] == ["nan", "inf", None, True, "2026-01-01 00:00:00"]


def test_a_stream_that_is_gone_spills_nothing_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    gone = StringIO()
    gone.close()
    configure("info", "json", interactive=False, stream=gone, secrets=[SECRET])
    structlog.get_logger().info("x", text=SECRET)
    logging.getLogger("some.library").warning("%s", SECRET)
    assert capsys.readouterr() == ("", "")


def test_a_line_that_cannot_be_written_is_reported() -> None:
    failures: list[str] = []
    with Path("/dev/full").open("w", buffering=1) as full:
        configure("info", "json", interactive=False, stream=full)
        on_failure(lambda: failures.append("failed"))
        structlog.get_logger().info("x")
        logging.getLogger("some.library").warning("y")
        with suppress(OSError):
            full.close()
    assert failures == ["failed", "failed"]


@given(st.text(min_size=1, max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_a_redactor_leaves_no_secret(secret: str, before: str, after: str) -> None:
    if secret not in MASK and not set(secret) & set(MASK):
        assert secret not in redactor([secret])(before + secret + after).replace(MASK, "\0" * 40)


def test_a_longer_secret_is_masked_before_a_shorter_one_inside_it() -> None:
    assert redactor(["abc", "abcdef"])("abcdef abc") == f"{MASK} {MASK}"
