"""A publication, cut into what a cluster can do at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.backend import Command, Publication, PutMember, Send, SetHash, SetValue, Trim


class Cut(NamedTuple):
    """What comes before the document, with it, after it; and the messages, last."""

    before: Sequence[Command]
    unit: Sequence[Command]
    after: Sequence[Command]
    sends: Sequence[Send]


def cut_of(publication: Publication) -> Cut:
    """Cut a publication where its document is: what stands before it there goes before."""
    commands = [one for one in publication.commands if not isinstance(one, Send)]
    sends = [one for one in publication.commands if isinstance(one, Send)]
    home = keys.fenced(publication.fence.document) if publication.fence else ""
    at = next((n for n, one in enumerate(commands) if isinstance(one, SetValue) and one.key == home), None)
    if at is None:
        return Cut((), (), commands, sends)
    return Cut(commands[:at], commands[at : at + 1], commands[at + 1 :], sends)


def by_key(commands: Sequence[Command]) -> list[tuple[str, list[Command]]]:
    """Return the commands of each key, in their order."""
    found: dict[str, list[Command]] = {}
    for command in commands:
        if not isinstance(command, Send):
            found.setdefault(command.key, []).append(command)
    return list(found.items())


def types_of(commands: Sequence[Command]) -> dict[str, bytes]:
    """Return the type that each key has to have, or none; a string takes the place of anything."""
    found = {one.key: b"zset" for one in commands if isinstance(one, PutMember | Trim)}
    return found | {one.key: b"hash" for one in commands if isinstance(one, SetHash)}
