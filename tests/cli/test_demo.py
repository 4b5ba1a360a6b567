"""``hotbandd demo``: it shows something within seconds, and leaves nothing."""

from __future__ import annotations

import json
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import gone, hotbandd, running


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Return a temporary folder for the demo; its path is short, as that of a socket has to be."""
    with tempfile.TemporaryDirectory(prefix="hb-") as folder:
        yield Path(folder)


def test_the_demo_shows_its_first_documents_and_ends_with_ctrl_c(tmp_path, scratch):
    with running(tmp_path, "demo", "--http", "127.0.0.1:0", TMPDIR=str(scratch)) as demo:
        for first in ("Pages: http://127.0.0.1:", "First manifold", "First blob of gates", "First weights document"):
            demo.until(lambda first=first: first in demo.stderr, first)
        family = demo.family()
        assert len(family) > 1
        told = re.search(r"Look closer: HOTBAND_HOME=(\S+) hotbandd (explain EUR_USD)", demo.stderr)
        explained = hotbandd(Path(told[1]), *told[2].split(), "--json")
        assert explained.code == 0, explained.err
        assert json.loads(explained.out)["evaluated_ts"] % 300_000 == 0, "it follows the demo's own rules"
        assert demo.end(signal.SIGINT) < 5
    assert demo.process.returncode == 0
    assert "Traceback" not in demo.stderr
    gone(family)
    assert not list(scratch.iterdir())


def test_the_demo_ends_by_itself_and_leaves_nothing_behind(tmp_path, scratch):
    ended = hotbandd(tmp_path, "demo", "--for", "3", "--http", "127.0.0.1:0", TMPDIR=str(scratch))
    assert ended.code == 0, ended.err
    assert ended.err == ""
    assert ended.out.startswith("Pages: http://127.0.0.1:")
    assert not list(scratch.iterdir())
