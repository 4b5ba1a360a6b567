"""Messages for people, through apprise: Slack, mail, Matrix, JSON to an address of one's own, and a hundred more.

apprise blocks and has no total deadline, so each message goes out in a thread of its own that the process does not wait for at its end.
A receiver that hangs keeps its one thread, and gets no other message until that has ended.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import anyio

from hotbandd.errors import SettingsError
from hotbandd.ports import Delivery
from hotbandd.settings import Secret

ATTEMPTS: Final = 3
ATTEMPT_SEC: Final = 15.0
PAUSE_SEC: Final = 2.0

_STATUS: Final = re.compile(r"error=(\d{3})\b")


class AppriseNotices:
    """The Notices port over apprise. Raises SettingsError where that is not installed, or does not know a receiver."""

    def __init__(self, urls: Sequence[Secret], attempt_sec: float = ATTEMPT_SEC, pause_sec: float = PAUSE_SEC) -> None:
        self._receivers = [_Receiver(number, url, attempt_sec, pause_sec) for number, url in enumerate(urls, 1)]

    async def send(self, title: str, body: str) -> Sequence[Delivery]:
        """Send a message to every receiver side by side, up to three times where it does not arrive."""
        found: dict[str, Delivery] = {}

        async def one(receiver: _Receiver) -> None:
            found[receiver.name] = await receiver.deliver(title, body)

        async with anyio.create_task_group() as group:
            for receiver in self._receivers:
                group.start_soon(one, receiver)
        return [found[receiver.name] for receiver in self._receivers]


class _Receiver:
    """One receiver, named by its number and service, which is all of it that may be seen."""

    def __init__(self, number: int, url: Secret, attempt_sec: float, pause_sec: float) -> None:
        self._service = _opened(number, url)
        self.name = f"{number} ({self._service.service_name})"
        self._attempt_sec = attempt_sec
        self._pause_sec = pause_sec
        self._busy = False

    async def deliver(self, title: str, body: str) -> Delivery:
        """Send a message, and tell what became of it."""
        fault: str | None = None
        for attempt in range(ATTEMPTS):
            if self._busy:
                return Delivery(self.name, fault or "it still hangs over an earlier message")
            if attempt:
                await anyio.sleep(self._pause_sec * 2 ** (attempt - 1))
            fault = await self._attempt(title, body)
            if fault is None:
                break
        return Delivery(self.name, fault)

    async def _attempt(self, title: str, body: str) -> str | None:
        """Send a message once; return why it did not arrive."""
        loop, done, told = asyncio.get_running_loop(), anyio.Event(), []
        self._busy = True

        def work() -> None:
            told.append(self._notify(title, body))
            self._busy = False
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=work, name=f"notify {self.name}", daemon=True).start()
        with anyio.move_on_after(self._attempt_sec):
            await done.wait()
        return told[0] if told else f"it does not take the message within {self._attempt_sec:g} s"

    def _notify(self, title: str, body: str) -> str | None:
        with _listening() as heard:
            try:
                arrived = self._service.notify(title=title, body=body)
            except Exception as error:  # noqa: BLE001  the outermost line of a thread; its text may hold the address
                return f"apprise failed with {type(error).__name__}"
        return None if arrived else heard.fault()


def _opened(number: int, url: Secret) -> Any:
    """Return what sends to an address, in the thread that calls it: apprise's own collection would use a pool that an exit waits for."""
    try:
        import apprise  # noqa: PLC0415  an extra: who sends no messages does without
    except ImportError as error:
        raise SettingsError(
            "HOTBAND_NOTIFY_URLS needs the package apprise; install it with pip install 'hotband[notify]', or leave the setting empty."
        ) from error
    asset = apprise.AppriseAsset(app_id="hotband", app_desc="hotband", app_url="", image_url_mask="", image_url_logo="")
    with _listening():
        service = apprise.Apprise.instantiate(url.reveal(), asset=asset)
    if service is None:
        raise SettingsError(
            f"HOTBAND_NOTIFY_URLS: apprise does not know what receiver {number} is; see its list of services for how each is written."
        )
    return service


class _listening(logging.Handler):  # noqa: N801  used as a function
    """Keeps what apprise says in this thread from the log, where it could show an address, and remembers what of it may be told."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self._status: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the status that a receiver answered with."""
        found = _STATUS.search(record.getMessage())
        if record.thread == self._thread and found is not None:
            self._status = found[1]

    def fault(self) -> str:
        """Return why a message did not arrive."""
        return "it does not answer as it should" if self._status is None else f"it answers with status {self._status}"

    def __enter__(self) -> _listening:
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)
