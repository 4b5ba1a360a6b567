"""The command line in this process: quicker than one of its own, through the same entry."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from hotbandd.__main__ import main
from tests.processes import Ended, bare_environment

Cli = Callable[..., Ended]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Cli]:
    """Run a command in a home of its own, which is also the working directory."""

    def run(*words: str, stdin: bytes = b"", **settings: str) -> Ended:
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in bare_environment(tmp_path, settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["hotbandd", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfdbinary.readouterr()
        return Ended(ended.value.code or 0, out.decode(), err.decode())  # type: ignore[arg-type]

    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield run
    root.handlers, root.level, logging.raiseExceptions = before, level, raising
    structlog.reset_defaults()


def sentences(ended: Ended) -> str:
    """Return the message of a refusal, after checking that it is one, and no traceback."""
    assert not ended.out
    assert ended.err.startswith("hotbandd: "), ended.err
    assert "Traceback" not in ended.err
    return ended.err.removeprefix("hotbandd: ").rstrip("\n")
