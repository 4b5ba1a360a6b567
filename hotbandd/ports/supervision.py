"""Who starts the daemon and watches over it."""

from __future__ import annotations

from typing import Protocol


class ServiceManager(Protocol):
    """A service manager such as systemd, told what the process does. None of it waits, and none of it raises."""

    @property
    def watchdog_sec(self) -> float | None:
        """Within how many real seconds the process is killed that did not say ``alive``; None: it is not watched."""
        ...

    def ready(self, status: str) -> bool:
        """Tell that the process serves, at its start or after ``reloading``; return whether that was heard."""
        ...

    def status(self, text: str) -> None:
        """Tell in one line how things are."""
        ...

    def alive(self) -> None:
        """Tell that the process goes on as it should."""
        ...

    def reloading(self) -> None:
        """Tell that settings are read again; ``ready`` ends it."""
        ...

    def stopping(self) -> None:
        """Tell that the process ends."""
        ...
