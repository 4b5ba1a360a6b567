"""systemd's notification protocol, heard by a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hotbandd.adapters.systemd import service_manager
from hotbandd.errors import SettingsError


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Return a socket that listens, and the address that NOTIFY_SOCKET would hold."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@hotband-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind("\0" + address[1:] if address.startswith("@") else address)
        opened.settimeout(5)
        yield opened, address


def heard(listener: socket.socket) -> dict[str, str]:
    lines = listener.recv(65536).decode().split("\n")
    return dict(line.split("=", 1) for line in lines)


def test_each_message_is_one_datagram_of_the_protocol(listener):
    opened, address = listener
    manager = service_manager({"NOTIFY_SOCKET": address})
    assert manager is not None
    assert manager.ready("leads\n with  epoch 7")
    assert heard(opened) == {"READY": "1", "STATUS": "leads with epoch 7"}
    manager.alive()
    assert heard(opened) == {"WATCHDOG": "1"}
    before = time.monotonic_ns() // 1000
    manager.reloading()
    said = heard(opened)
    assert said["RELOADING"] == "1"
    assert before <= int(said["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    manager.stopping()
    assert heard(opened)["STOPPING"] == "1"
    manager.status("x" * 5000)
    assert len(heard(opened)["STATUS"]) < 5000


def test_a_manager_that_does_not_read_is_not_waited_for(listener):
    _, address = listener
    manager = service_manager({"NOTIFY_SOCKET": address})
    assert manager is not None
    began = time.monotonic()
    with capture_logs() as logs:
        answers = [manager.ready("once more") for _ in range(2000)]
    assert answers[0]
    assert not answers[-1]
    assert time.monotonic() - began < 5
    assert [line["event"] for line in logs] == ["systemd.unheard"]


def test_a_manager_that_is_gone_is_no_error(tmp_path):
    manager = service_manager({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert manager is not None
    assert not manager.ready("anyone there?")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),
    ],
)
def test_the_watchdog_is_the_one_meant_for_this_process(environ, seconds):
    manager = service_manager({"NOTIFY_SOCKET": "/run/systemd/notify", **environ})
    assert manager is not None
    assert manager.watchdog_sec == seconds


def test_without_a_manager_there_is_none():
    assert service_manager({}) is None
    assert service_manager({"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "x"}) is None


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"NOTIFY_SOCKET": "notify"}, "NOTIFY_SOCKET"),
        ({"NOTIFY_SOCKET": "@"}, "NOTIFY_SOCKET"),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC"),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "0"}, "WATCHDOG_USEC"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(environ, name):
    with pytest.raises(SettingsError, match=name):
        service_manager(environ)
