"""Promotion of winners into ``config/live_params.yaml``, and from there into the settings file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from hotbandd.core import live_params, promotion
from hotbandd.core.documents import Params
from hotbandd.core.trial_documents import GLOBAL, BestConfig, LiveConfigChanged
from hotbandd.errors import InputError, ParamsError, UsageError
from hotbandd.ports import Artifacts, TrialArchive
from hotbandd.settings import FILE_NAME, env_file
from hotbandd.settings.instruments import INSTRUMENT

FILE: Final = Path(live_params.FILE)
BACKUP: Final = FILE.with_name(FILE.name + ".bak")

Dump = Callable[[dict[str, Any]], bytes]
Load = Callable[[bytes], Any]
Fate = Literal["promoted", "unchanged", "gone"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a promotion would do.

    ``fates`` and ``refused``: by instrument, and GLOBAL; ``changed``: the news, None for an instrument that is gone.
    """

    document: dict[str, Any]
    content: bytes
    previous: bytes | None
    fates: Mapping[str, Fate]
    refused: Mapping[str, str]
    changed: Mapping[str, Params | None]
    diff: str

    @property
    def writes(self) -> bool:
        """Whether the file changes."""
        return self.content != self.previous


@dataclass(frozen=True, kw_only=True)
class Promote:
    """Puts the winners of trials in force."""

    archive: TrialArchive
    artifacts: Artifacts
    pairs: tuple[str, ...]
    strategies: Collection[str]
    min_dsr: float
    max_pbo: float
    dump: Dump
    load: Load

    async def plan(self, now: int) -> Plan:
        """Look at winners and file, and return what is to be done. Raises HotbandError."""
        winners, refused = await self._winners()
        previous = await self.artifacts.read(FILE)
        earlier = {} if previous is None else _loaded(self.load, previous)
        instruments = {name: config for name, config in winners.items() if name != GLOBAL}
        document = promotion.keeping(promotion.document(instruments, winners.get(GLOBAL), now), earlier)
        content = previous if previous is not None and document == earlier else self.dump(document)
        fates = _fates(document, earlier)
        return Plan(
            document=document,
            content=content,
            previous=previous,
            fates=fates,
            refused=refused,
            changed={
                name: winners[name].params if name in winners else None
                for name, fate in fates.items()
                if fate != "unchanged" and INSTRUMENT.fullmatch(name)
            },
            diff=_diff(previous or b"", content),
        )

    async def carry_out(self, plan: Plan, now: int) -> list[Path]:
        """Write the file, the previous one beside it, and tell what changed; return the files written."""
        if not plan.writes:
            return []
        kept = {} if plan.previous is None else {BACKUP: plan.previous}
        written = await self.artifacts.write_together({**kept, FILE: plan.content})
        for name, params in plan.changed.items():
            await self.archive.announce(LiveConfigChanged(instrument=name, params=params, ts=now))
        return written

    async def _winners(self) -> tuple[dict[str, BestConfig], dict[str, str]]:
        """Return the winners that may be promoted, and why the others may not, by instrument and GLOBAL."""
        winners, refused = {}, {}
        for name in (*self.pairs, GLOBAL):
            config = await self.archive.best(name)
            if config is None:
                continue
            reason = promotion.judged(config, self.min_dsr, self.max_pbo)
            reason = reason or promotion.unusable(config, self.strategies)
            if reason is None:
                winners[name] = config
            else:
                refused[name] = reason
        return winners, refused


class Change(NamedTuple):
    """A setting's text before, None where the file did not have it, and after."""

    before: str | None
    after: str


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What applying would do: the settings of ``global``, none without one; those of them that differ; the file."""

    values: Mapping[str, str]
    changes: Mapping[str, Change]
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Apply:
    """Puts the promoted ``global`` into the settings file, named absolutely or below the folder of the artifacts."""

    artifacts: Artifacts
    load: Load
    settings_file: Path = Path(FILE_NAME)

    async def plan(self) -> Edit:
        """Look at both files, and return what is to be done. Raises HotbandError."""
        promoted = await self.artifacts.read(FILE)
        if promoted is None:
            raise UsageError(f"There is no {FILE} to apply; run hotbandd promote first.")
        try:
            values = promotion.global_settings(_loaded(self.load, promoted))
        except ParamsError as error:
            raise InputError(f"{FILE}: {error}") from error
        text = self._text(await self.artifacts.read(self.settings_file) or b"")
        before = {name: entry.value for name, entry in env_file.parse(text).entries.items()}
        changes = {name: Change(before.get(name), after) for name, after in values.items() if before.get(name) != after}
        return Edit(values=values, changes=changes, content=promotion.edited(text, values).encode())

    async def carry_out(self, edit: Edit) -> list[Path]:
        """Write the settings file, if it changes; return the files written."""
        return [await self.artifacts.write(self.settings_file, edit.content)] if edit.changes else []

    def _text(self, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{self.settings_file} is not UTF-8 text (byte {error.start}); write it anew.") from error


def _loaded(load: Load, content: bytes) -> Any:
    try:
        return load(content)
    except InputError as error:
        raise InputError(f"{FILE}, {error}") from error


def _fates(document: dict[str, Any], earlier: Any) -> dict[str, Fate]:
    before, after = promotion.params_of(earlier), promotion.params_of(document)
    fates: dict[str, Fate] = {}
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            fates[name] = "gone"
        else:
            fates[name] = "unchanged" if before.get(name) == after[name] else "promoted"
    return fates


def _diff(before: bytes, after: bytes) -> str:
    old, new = (content.decode(errors="replace").splitlines() for content in (before, after))
    return "".join(f"{line}\n" for line in unified_diff(old, new, str(FILE), str(FILE), lineterm=""))
