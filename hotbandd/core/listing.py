"""How trials are listed: by the ids of their runs, which name the spec and the instrument, with the moment at which they ran."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, NamedTuple

from hotbandd.core.trial_documents import TrialRun
from hotbandd.settings.instruments import INSTRUMENT

_ID: Final = re.compile(rf"(?P<spec>[0-9a-f]+)-(?P<instrument>{INSTRUMENT.pattern})-[0-9a-f]+")


class Named(NamedTuple):
    """What the id of a run, or of a pack of runs, names."""

    spec: str
    instrument: str


class Trial(NamedTuple):
    """The runs of a spec on an instrument at a moment, UTC epoch, ms: the ids of their packs, and of the runs that stand alone."""

    instrument: str
    ts: int
    spec: str
    packs: tuple[str, ...]
    alone: tuple[str, ...]

    def holds(self, run: TrialRun) -> bool:
        """Tell whether a run is one of this trial."""
        return (run.instrument, run.ts, run.spec) == (self.instrument, self.ts, self.spec)


def run_id(spec: str, instrument: str, param_key: str) -> str:
    """Return the id of a spec's run on an instrument; each time that it runs it has the same."""
    return f"{spec}-{instrument}-{sha256(param_key.encode()).hexdigest()[:12]}"


def named(text: str) -> Named | None:
    """Return what an id names; None where it is none."""
    found = _ID.fullmatch(text)
    return found and Named(found["spec"], found["instrument"])


def by_instrument(packs: Mapping[str, int], alone: Mapping[str, int]) -> dict[str, list[Trial]]:
    """Return the trials that are listed by instrument, in alphabetical order, those of each from the newest to the oldest.

    ``packs``, ``alone``: when they ran, UTC epoch, ms, by id. What is no id is left out.
    """
    packed, single = _grouped(packs), _grouped(alone)
    found: dict[str, list[Trial]] = {}
    for which in sorted(packed.keys() | single.keys(), reverse=True):
        found.setdefault(which.instrument, []).append(
            Trial(*which, tuple(packed.get(which, ())), tuple(single.get(which, ())))
        )
    return dict(sorted(found.items()))


class _Which(NamedTuple):
    instrument: str
    ts: int
    spec: str


def _grouped(moments: Mapping[str, int]) -> dict[_Which, list[str]]:
    groups: dict[_Which, list[str]] = {}
    for text, ts in moments.items():
        name = named(text)
        if name is not None:
            groups.setdefault(_Which(name.instrument, ts, name.spec), []).append(text)
    return groups
