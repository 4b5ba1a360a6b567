"""Retention of files: old ones are packed, older ones removed."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hotbandd.core.candles import DAY_MS
from hotbandd.ports import Artifacts

MANIFOLDS: Final = Path("output/manifolds")
SNAPSHOTS: Final = Path("docs/reports/snapshots")
STAMP: Final = "%Y%m%dT%H%M%SZ"
DAY: Final = "%Y-%m-%d"
PACKED_AFTER_DAYS: Final = 7


async def trim_manifolds(artifacts: Artifacts, days: int, now: int) -> int:
    """Remove the daily manifolds of more than so many days ago; return how many."""
    oldest = _moment(now) - timedelta(days=days)
    gone = 0
    for name in await artifacts.names(f"{MANIFOLDS}/*/*.json"):
        at = _parsed(name.stem, DAY)
        if at is not None and at + timedelta(days=1) <= oldest:
            await artifacts.remove(name)
            gone += 1
    return gone


async def trim_snapshots(artifacts: Artifacts, days: int, now: int) -> int:
    """Pack snapshots of more than a week ago with gzip, and remove those of more than so many days ago; return how many."""
    gone = 0
    for name in await artifacts.names(f"{SNAPSHOTS}/*.json*"):
        at = _parsed(name.name.partition("_")[0], STAMP)
        if at is None:
            continue
        age_days = (now - int(at.timestamp() * 1000)) / DAY_MS
        if age_days > days:
            await artifacts.remove(name)
            gone += 1
        elif age_days > PACKED_AFTER_DAYS and name.suffix == ".json":
            content = await artifacts.read(name)
            if content is not None:
                await artifacts.write(name.with_name(f"{name.name}.gz"), gzip.compress(content, mtime=0))
                await artifacts.remove(name)
    return gone


def _moment(now: int) -> datetime:
    return datetime.fromtimestamp(now / 1000, UTC)


def _parsed(text: str, form: str) -> datetime | None:
    """Parse a name; None for one that is not ours."""
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None
