"""Errors, named by the reaction that they ask for.

::

    HotbandError                      one sentence that says what to do; ``exit_code`` for the command line
    ├── UsageError            (2)     wrong words on a command line
    │   └── SettingsError     (2)     settings that stop the start, every fault in one message
    ├── InputError            (1)     a file or payload that cannot be used: skip it, count it
    │   ├── CandleInputError  (1)     candle input, with the offending row
    │   ├── CorruptPayloadError (1)   a stored value that does not meet its schema
    │   └── ParamsError       (1)     a document of parameters, with the keys down to the culprit
    ├── UnreachableError      (3)     an outside system does not answer: retry, with a bound
    │   ├── StoreUnreachableError     Valkey
    │   ├── SourceUnreachableError    the candle source
    │   └── ComputeUnreachableError   the Dask scheduler, or all of its workers
    ├── RefusedError          (3)     an outside system answers no, and would again: a wrong token, no rights
    ├── UnhealthyError        (4)     checked, and found unhealthy
    ├── FencedError           (1)     another daemon leads: stop publishing
    ├── ComputeError          (1)     the workers failed at the same task again and again
    │   └── ComputeVersionsError      a worker whose versions are not this process's: its results would differ
    ├── ClockError            (1)     the wall clock was set by hours: the process ends likewise
    └── RestartIntensityError (1)     a loop failed too often: the process ends, and its supervisor starts it anew
"""

from __future__ import annotations


class HotbandError(Exception):
    """An error with one sentence for a person."""

    exit_code = 1


class UsageError(HotbandError):
    """Wrong words on a command line."""

    exit_code = 2


class SettingsError(UsageError):
    """Settings that stop the start, every fault in one message."""


class InputError(HotbandError):
    """A file or payload that cannot be used."""


class CandleInputError(InputError):
    """Candle input that cannot be used, with the offending row."""


class CorruptPayloadError(InputError):
    """A stored value that does not meet its schema."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key = key
        self.why = why

    def __str__(self) -> str:
        return f"The value at {self.key} is not what hotband writes there ({self.why}); delete the key, or find its writer."


class ParamsError(InputError):
    """A document of parameters that cannot be used: ``path`` names the keys down to the culprit."""

    def __init__(self, path: tuple[str, ...], reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{'.'.join(self.path) or 'The document'} {self.reason}"


class UnreachableError(HotbandError):
    """An outside system does not answer."""

    exit_code = 3


class StoreUnreachableError(UnreachableError):
    """Valkey does not answer."""


class SourceUnreachableError(UnreachableError):
    """The candle source does not answer."""


class ComputeUnreachableError(UnreachableError):
    """The Dask scheduler does not answer, or has no worker."""


class RefusedError(HotbandError):
    """An outside system answers no, and would again."""

    exit_code = 3


class UnhealthyError(HotbandError):
    """Checked, and found unhealthy."""

    exit_code = 4


class FencedError(HotbandError):
    """Another daemon leads, or leads with a higher epoch."""


class ComputeError(HotbandError):
    """The workers failed at the same task again and again."""


class ComputeVersionsError(ComputeError):
    """A worker runs with other versions than this process."""


class ClockError(HotbandError):
    """The wall clock was set by more than can be made up for."""


class RestartIntensityError(HotbandError):
    """A loop failed too often."""


def first_of(error: BaseException) -> HotbandError | None:
    """Return the first error of ours in a group of errors, or the error itself if it is one; None where there is none."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := first_of(inner)) is not None), None)
    return error if isinstance(error, HotbandError) else None
