"""What redis-py raises, as the errors of hotband."""

from __future__ import annotations

import redis.exceptions as foreign
from redis.asyncio.sentinel import MasterNotFoundError

from hotbandd.adapters.store import tls
from hotbandd.errors import CorruptPayloadError, HotbandError, RefusedError, StoreUnreachableError

CAUGHT = (foreign.RedisError, OSError, RuntimeError)
"""What a call to the client may raise; the builtin TimeoutError of a deadline is an OSError, a RuntimeError what uvloop raises for a
connection that was closed between two looks at it."""

_CLOSED = "the handler is closed"

_REFUSED = (foreign.AuthenticationError, foreign.AuthorizationError)
_DENIED = "ACL failure"  # how a script words a lack of rights
_HEALS = (
    foreign.ReadOnlyError,
    foreign.OutOfMemoryError,
    foreign.ClusterDownError,
    foreign.TryAgainError,
)
# States of the server that pass, but come as plain response errors.
_HEALING_PREFIXES = ("MISCONF", "NOREPLICAS", "OOM", "LOADING", "MASTERDOWN", "BUSY", "READONLY")


def translated(error: Exception, place: str, key: str) -> HotbandError:
    """Return the error that asks for the right reaction.

    ``place`` names the server without secrets, ``key`` the key that the call was about.
    """
    text = str(error)
    if isinstance(error, RuntimeError) and _CLOSED not in text:
        raise error
    word = text.partition(" ")[0]
    known = _nameless(text, place) if isinstance(error, MasterNotFoundError) else _refused(error, place, key)
    if known is not None:
        return known
    if word == "WRONGTYPE":
        return CorruptPayloadError(key, "another type of key")
    if word == "CORRUPT":
        _, at, why = text.split(" ", 2)
        return CorruptPayloadError(at, why)
    if isinstance(error, foreign.ResponseError) and not isinstance(error, _HEALS) and word not in _HEALING_PREFIXES:
        return RefusedError(f"Valkey at {place} refuses a command ({text}); hotband needs Valkey 7.2 or newer.")
    untrusted = tls.fault(error)
    if untrusted is not None:
        return StoreUnreachableError(f"Valkey at {place} is not trusted: {untrusted}.")
    advice = "check that it runs, and that it speaks TLS there" if tls.asked_for(place) else "check that it runs"
    return StoreUnreachableError(f"Valkey at {place} does not serve ({text or type(error).__name__}); {advice}.")


def _nameless(text: str, place: str) -> HotbandError:
    """Return the error for Sentinels that name no primary; redis-py tells of each that did not answer, with all its options."""
    if "Authentication" in text:
        return RefusedError(
            f"The Sentinels of {place} refuse access; check sentinel_username and sentinel_password in VALKEY_URL."
        )
    silent = " - " in text
    why = "at least one does not answer" if silent else "they know none of that name that is up"
    return StoreUnreachableError(
        f"The Sentinels of {place} name no primary ({why}); check that they run, and what they say: SENTINEL MASTERS."
    )


def _refused(error: Exception, place: str, key: str) -> RefusedError | None:
    """Return the error for a user that is unknown, or that may not do this; None where it is another one."""
    text = str(error)
    if isinstance(error, _REFUSED) or isinstance(error.__cause__, _REFUSED):  # the cause where a new connection fails
        return RefusedError(f"Valkey at {place} refuses access ({text}); check the user and password in VALKEY_URL.")
    if "cluster support disabled" in text:
        return RefusedError(f"Valkey at {place} is no cluster; write redis:// or redis+sentinel:// in VALKEY_URL.")
    if isinstance(error, foreign.NoPermissionError) or _DENIED in text:
        what = key or "this"
        return RefusedError(
            f"Valkey at {place} gives its user too few rights for {what} ({text}); see config/valkey/users.acl."
        )
    return None
