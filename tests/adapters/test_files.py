"""Files that take the place of others: whole or not at all, and as readable for others as those were."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hotbandd.adapters.files import write_all, write_whole
from hotbandd.errors import UsageError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_its_owners_alone_and_a_replaced_one_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "new" / "live_params.yaml"
    write_whole(path, b"1")
    assert (path.read_bytes(), mode(path)) == (b"1", 0o600)
    path.chmod(0o644)
    write_whole(path, b"2")
    assert (path.read_bytes(), mode(path)) == (b"2", 0o644)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"1")
    os.chown(path, 12345, 54321)
    write_whole(path, b"2")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_where_one_cannot_be_written_none_is(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"old")
    second.mkdir()
    with pytest.raises(UsageError, match="b cannot be written"):
        write_all({first: b"new", second: b"new"})
    assert first.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
