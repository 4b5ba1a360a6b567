"""systemd's notification protocol (sd_notify(3)): lines NAME=value in a datagram to the socket that it names."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

import structlog

from hotbandd.errors import SettingsError

log = structlog.get_logger()

SOCKET, WATCHDOG_USEC, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
_LONGEST_STATUS = 1024


class Systemd:
    """systemd, or any service manager that speaks its protocol. ``address``: a path, or ``@`` and a name for an abstract socket."""

    def __init__(self, address: str, watchdog_sec: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_sec = watchdog_sec
        self._heard = True

    @property
    def watchdog_sec(self) -> float | None:
        """Within how many real seconds the process is killed that did not say ``alive``; None: it is not watched."""
        return self._watchdog_sec

    def ready(self, status: str) -> bool:
        """Tell that the process serves; return whether that was heard."""
        return self._tell("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Tell in one line how things are."""
        self._tell(_status(text))

    def alive(self) -> None:
        """Tell that the process goes on as it should."""
        self._tell("WATCHDOG=1")

    def reloading(self) -> None:
        """Tell that settings are read again."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that the process ends."""
        self._tell("STOPPING=1", _status("stopping"))

    def _tell(self, *lines: str) -> bool:
        """Send lines without waiting; the first of several failures in a row is logged."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(0)  # never wait for who does not read
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if self._heard:
                log.warning("systemd.unheard", said=lines[0], error=str(error))
            self._heard = False
        else:
            self._heard = True
        return self._heard


def service_manager(environ: Mapping[str, str]) -> Systemd | None:
    """Return the service manager that an environment names, or None. Raises SettingsError for names that cannot be used."""
    address = environ.get(SOCKET, "")
    if not address:
        return None
    if address[0] not in "/@" or len(address) < 2:
        raise SettingsError(
            f"{SOCKET} must be an absolute path, or @ and a name, not {address!r}; unset it to run alone."
        )
    return Systemd(address, _watchdog_sec(environ))


def _watchdog_sec(environ: Mapping[str, str]) -> float | None:
    """Return within which time this very process has to be heard of."""
    text = environ.get(WATCHDOG_USEC, "")
    if not text or environ.get(WATCHDOG_PID, str(os.getpid())) != str(os.getpid()):
        return None
    if not text.isdecimal() or int(text) == 0:
        raise SettingsError(f"{WATCHDOG_USEC} must be a number of microseconds above 0, not {text!r}; unset it.")
    return int(text) / 1e6


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:_LONGEST_STATUS]
