"""Logs: one line per event, for people on a terminal and as JSON elsewhere; secrets never in them."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from types import TracebackType
from typing import Any, Final, TextIO
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from hotbandd.settings import MASK

QUIET: Final = {
    **dict.fromkeys(("httpx", "httpcore", "asyncio", "redis", "requests", "urllib3"), logging.WARNING),
    "uvicorn": logging.ERROR,  # what is wrong with a request is its sender's to know: whoever sends garbage fills no log
}
"""Libraries whose news below a level is ours to tell, under names of our own."""

Redact = Callable[[str], str]


class _Handler(logging.StreamHandler[TextIO]):
    """Our handler among the root logger's. A line that it cannot write is lost, and reported as such."""

    failed: Callable[[], None] = staticmethod(lambda: None)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  its name in the standard library
        del record
        self.failed()


def on_failure(call: Callable[[], None]) -> None:
    """Have each line that cannot be written reported."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.failed = call


def configure(
    level: str, log_format: str, *, interactive: bool, stream: TextIO | None = None, secrets: Iterable[str] = ()
) -> None:
    """Send structlog and the standard library's logging to a stream (default: stderr), as one format.

    ``log_format`` is ``json``, ``console`` or ``auto``: console where ``interactive``. Calling it again replaces what was.
    """
    console = log_format == "console" or (log_format == "auto" and interactive)
    number = logging.getLevelNamesMapping()[level.upper()]
    secrets = tuple(secrets)
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_formatter(console=console, colors=interactive, redact=redactor(secrets)))
    root = logging.getLogger()
    root.handlers = [*(other for other in root.handlers if not isinstance(other, _Handler)), handler]
    root.setLevel(number)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(number, least))
    sys.excepthook = _crash(stream or sys.stderr, redactor(secrets))
    logging.raiseExceptions = False  # a line that cannot be written must not spill its arguments elsewhere
    structlog.configure(
        processors=[*_COMMON, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _crash(
    stream: TextIO, redact: Redact
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """Return the hook for what nothing caught: Python's own prints messages as they are."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        stream.write(redact("".join(traceback.format_exception(kind, error, trace))))

    return hook


def redactor(secrets: Iterable[str]) -> Redact:
    """Return a function that masks secrets in a text: as they are, and as URLs, JSON and ``repr`` write them."""
    written = {form for secret in secrets if secret for form in _forms(secret)}
    if not written:
        return lambda text: text
    pattern = re.compile("|".join(re.escape(form) for form in sorted(written, key=len, reverse=True)))
    return lambda text: pattern.sub(MASK, text)


def _forms(secret: str) -> Iterable[str]:
    return secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]


_COMMON: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def _formatter(*, console: bool, colors: bool, redact: Redact) -> logging.Formatter:
    plain = structlog.dev.plain_traceback
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)
        if console
        else structlog.processors.JSONRenderer()
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_COMMON,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redaction(redact),
            renderer,
        ],
    )


def _redaction(redact: Redact) -> Processor:
    """Return a processor that turns an event into plain values, and masks secrets in every text."""

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
            return value
        if isinstance(value, Mapping):
            return {redact(str(key)): plain(member) for key, member in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(member) for member in value]
        return redact(str(value))

    def process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: plain(value) for key, value in event.items()}

    return process
