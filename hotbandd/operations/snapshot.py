"""Snapshot: what the account held and what hotband said, at one moment, as files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec

from hotbandd.core.documents import GatesBlob
from hotbandd.core.file_documents import SnapshotAllocation
from hotbandd.errors import UnhealthyError
from hotbandd.operations.retention import SNAPSHOTS, STAMP, trim_snapshots
from hotbandd.ports import Artifacts, Broker, Store


@dataclass(frozen=True)
class Snapshot:
    """Reads all four parts, then writes them together."""

    broker: Broker
    store: Store
    artifacts: Artifacts
    retention_days: int

    async def run(self, now: int) -> list[Path]:
        """Write a snapshot; return its files. Raises HotbandError, and writes nothing, where a part cannot be had."""
        found: dict[str, object] = {}

        async def account() -> None:
            found["account"] = await self.broker.account()

        async def trades() -> None:
            found["open_trades"] = await self.broker.open_trades()

        async with anyio.create_task_group() as group:
            group.start_soon(account)
            group.start_soon(trades)
        found["allocation"] = await self._allocation(now)
        found["gates"] = await self._gates()
        stamp = datetime.fromtimestamp(now / 1000, UTC).strftime(STAMP)
        contents = {
            SNAPSHOTS / f"{stamp}_{part}.json": msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
            for part, value in found.items()
        }
        written = await self.artifacts.write_together(contents)
        await trim_snapshots(self.artifacts, self.retention_days, now)
        return written

    async def _allocation(self, now: int) -> SnapshotAllocation:
        weights = await self.store.weights()
        if weights is None:
            raise UnhealthyError("There are no weights to snapshot; start hotbandd run, and wait for its first slot.")
        return SnapshotAllocation(ts=now, weights=weights, status=await self.store.allocator_status())

    async def _gates(self) -> GatesBlob:
        blob = await self.store.gates_blob()
        if blob is None:
            raise UnhealthyError(
                "There is no gates blob to snapshot; the evaluator has not published, or not for too long."
            )
        return blob
