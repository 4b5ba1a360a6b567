"""What this process published last of each document, to give it back to a server that lost it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.backend import Command, Delete, Fence, Publication, Send, SetValue
from hotbandd.ports import Lease


class _Said(NamedTuple):
    """A command, and when it was published, on the monotonic clock."""

    command: Command
    at: float


class _Attempt(NamedTuple):
    """A publication that got no answer, and when that was clear, on the monotonic clock."""

    publication: Publication
    at: float


class _Message(NamedTuple):
    """A message, and until when it is worth sending."""

    command: Send
    until: float


@dataclass
class _Document:
    """The strings of a document, whichever publication set them last; members, hashes and message of the newest that had any."""

    fence: Fence
    over: tuple[str, int] | None = None
    strings: dict[str, _Said] = field(default_factory=dict)
    others: Sequence[Command] = ()
    message: _Message | None = None


class Kept:
    """The last publications, one per fenced document: as many as there are instruments, and two."""

    def __init__(self) -> None:
        self._documents: dict[str, _Document] = {}
        self._doubts: dict[str, _Attempt] = {}
        self._doubtful = 0
        self._count = (0, 0)

    def keep(self, publication: Publication, at: float | None = None) -> None:
        """Note a publication that took effect, now or at a moment before."""
        fence, now = publication.fence, time.monotonic() if at is None else at
        if fence is None:
            return
        known = self._documents.setdefault(fence.document, _Document(fence))
        known.fence, known.over, others = fence, publication.over, []
        for command in publication.commands:
            match command:
                case SetValue(key, _, _) | Delete(key):
                    known.strings[key] = _Said(command, now)
                case Send():
                    known.message = _Message(command, now + publication.good_ms / 1000)
                case _:
                    others.append(command)
        known.others = others

    def note(self, lease: Lease, count: int) -> None:
        """Note how many publications the server counts, under a lease: fewer under the same one, and it lost some."""
        self._count = max(self._count, (lease.epoch, count))

    def floor(self, lease: Lease) -> int:
        """Return how many publications the server counts at least, as far as is known under a lease."""
        epoch, count = self._count
        return count if epoch == lease.epoch else 0

    def doubt(self, publication: Publication) -> None:
        """Note a publication that got no answer: it may have taken effect."""
        if publication.fence is not None:
            self._doubts[publication.fence.document] = _Attempt(publication, time.monotonic())
            self._doubtful = max(self._doubtful, publication.lease.epoch)

    def doubted(self, lease: Lease) -> bool:
        """Tell whether a publication under a lease, or a later one, got no answer."""
        return lease.epoch <= self._doubtful

    def doubts(self, lease: Lease) -> list[tuple[str, str]]:
        """Return the documents that got no answer before a lease, and the key of each that tells whether it took effect."""
        attempts = ((name, attempt.publication) for name, attempt in self._doubts.items())
        return [(name, _told_by(name, one)) for name, one in attempts if one.lease.epoch < lease.epoch]

    def settle(self, document: str, stored: bytes | None) -> None:
        """Keep a publication without an answer if it is what is stored at its key, else forget it."""
        attempt, at = self._doubts.pop(document)
        if any(isinstance(one, SetValue) and one.value == stored for one in attempt.commands):
            self.keep(attempt, at)

    def again(self, lease: Lease, *, repeat: bool) -> Iterator[tuple[str, Publication]]:
        """Return what is kept of each document, strings with the rest of their life, and the message while it is worth sending."""
        now = time.monotonic()
        for name, document in list(self._documents.items()):
            commands = [command for said in document.strings.values() for command in _left(said, now)]
            commands += document.others
            if document.message is not None and now < document.message.until:
                commands.append(document.message.command)
            yield name, Publication(lease, commands, document.fence, document.over, again=repeat)


def _left(said: _Said, now: float) -> Iterator[Command]:
    """Yield a command with the life that its key would have left, none where that is over."""
    command = said.command
    if isinstance(command, SetValue) and command.life_ms is not None:
        left_ms = command.life_ms - int((now - said.at) * 1000)
        if left_ms > 0:
            yield command._replace(life_ms=left_ms)
    else:
        yield command


def _told_by(document: str, publication: Publication) -> str:
    """Return the key that tells whether a publication took effect: the document's, else the first string's."""
    strings = [command.key for command in publication.commands if isinstance(command, SetValue)]
    home = keys.fenced(document)
    return home if home in strings else strings[0]
