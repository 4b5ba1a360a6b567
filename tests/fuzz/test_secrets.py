"""No secret is ever shown: not in a log, an error, a page, a crash or a command line, whatever goes wrong in a run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from hotbandd.settings import load
from tests.cli.conftest import Cli, cli  # noqa: F401  a fixture
from tests.processes import Daemon, bare_environment, command_line, running
from tests.valkey import PASSWORD, Guarded, as_user

MODULE = "tests.fuzz.loose"
LOOSE = [sys.executable, "-m", MODULE]
KEY = "0a1b2c3d4e5f60718293a4b5c6d7e8f9-00112233445566778899aabbccddeeff"
TOKEN = "a+token/with=signs&more-of-them"
WRONG = "a wrong+pass/word%of@mine"
SECRETS = (KEY, TOKEN, PASSWORD, WRONG)
FORMS = {
    form for secret in SECRETS for form in (secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1])
}
COMMANDS = ("status --json", "doctor", "check-config", "snapshot")
MORE = (
    "status",
    "doctor --json",
    "check-config --json",
    "kill status",
    "warmup",
    "explain EUR_USD",
    "report",
    "promote",
)
PAGES = ("/status", "/metrics", "/healthz", "/readyz", "/openapi.json", "/", "/api/page", "/nowhere")


def clean(text: str, where: str) -> None:
    """Fail where a text shows a secret in any of the forms that it is written in."""
    for form in FORMS:
        assert form not in text, f"{where}: ...{text[max(0, text.index(form) - 200) : text.index(form) + 20]}"


class Echo(BaseHTTPRequestHandler):
    """A server that refuses every request, and repeats what it was told in confidence."""

    def do_GET(self) -> None:
        body = json.dumps({"errorMessage": f"You shall not pass with {self.headers['Authorization']}"}).encode()
        self.send_response(400 if "open" in self.path else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def oanda() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def secrets(valkey_url: str, **more: str) -> dict[str, str]:
    return {
        "OANDA_API_KEY": KEY,
        "OANDA_ACCOUNT_ID": "101-004-1234567-001",
        "HOTBAND_HTTP_TOKEN": TOKEN,
        "VALKEY_URL": valkey_url,
        "HOTBAND_PAIRS": "EUR_USD",
        "HOTBAND_SOURCE": "oanda",
        "LOG_LEVEL": "debug",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        **more,
    }


def ended(home: Path, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    environment = bare_environment(home, settings)
    return subprocess.run(
        [*LOOSE, *command.split()], capture_output=True, text=True, cwd=home, env=environment, timeout=90, check=False
    )


def asked(daemon: Daemon, path: str, method: str = "GET", token: str | None = None) -> str:
    """Return all that a page says, its headers included."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    url = daemon.event("daemon.started")["http"] + path
    request = urllib.request.Request(url, method=method, headers=headers, data=b"{}" if method == "POST" else None)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return f"{answer.headers}\n{answer.read().decode()}"
    except urllib.error.HTTPError as refusal:
        with refusal:
            return f"{refusal.headers}\n{refusal.read().decode()}"


def test_a_run_whose_token_oanda_refuses_shows_none_anywhere(
    raw: object, valkey: Guarded, oanda: str, tmp_path: Path, full: bool
) -> None:
    settings = secrets(valkey.url, LOOSE_OANDA=oanda)
    with running(tmp_path, module=MODULE, **settings) as daemon:
        daemon.event("daemon.started")
        daemon.until(lambda: "401" in daemon.stderr or "refuses" in daemon.stderr, "OANDA's refusal")
        for path in PAGES:
            clean(asked(daemon, path), path)
        for token in (None, "wrong", TOKEN):
            clean(asked(daemon, "/api/kill-switch", "POST", token), "/api/kill-switch")
            for path in ("/api/oanda/account", "/api/oanda/open-trades"):
                clean(asked(daemon, path, token=token), path)
        for command in (*COMMANDS, *(MORE if full else ())):
            done = ended(tmp_path, command, **settings)
            clean(done.stdout + done.stderr, command)
        for pid in daemon.family():
            clean(command_line(pid), "the list of processes")
        assert len(daemon.events()) > 3
    clean(daemon.stderr, "the log")
    for file in tmp_path.rglob("*"):
        if file.is_file():
            clean(file.read_bytes().decode(errors="replace"), str(file))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_loop_that_fails_with_secrets_in_its_hands_shows_none(
    raw: object, valkey: Guarded, oanda: str, tmp_path: Path, log_format: str
) -> None:
    with running(
        tmp_path, module=MODULE, **secrets(valkey.url, LOOSE_FAULT="step", LOOSE_OANDA=oanda, LOG_FORMAT=log_format)
    ) as daemon:
        daemon.until(lambda: "it went wrong with" in daemon.stderr and "Traceback" in daemon.stderr, "a traceback")
    clean(daemon.stderr, "the log")


def test_a_process_that_crashes_with_secrets_in_its_hands_shows_none(valkey: Guarded, tmp_path: Path) -> None:
    done = ended(tmp_path, "run", **secrets(valkey.url, LOOSE_FAULT="whole"))
    assert done.returncode == 1
    assert "it went wrong with" in done.stderr
    clean(done.stderr + done.stdout, "the crash")


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_a_server_that_refuses_or_is_not_there_hears_of_the_password_alone(
    valkey: Guarded, raw: object, tmp_path: Path, command: str
) -> None:
    written = quote(WRONG, safe="")
    places = {
        as_user(valkey.url, "hotband", written): "VALKEY_URL",
        f"redis://me:{written}@127.0.0.1:1/0": "127.0.0.1:1",
        f"rediss://me:{written}@localhost:1": "localhost:1",
    }
    for url, word in list(places.items())[
        : None if command == "run" else 1
    ]:  # the doctor asks OANDA too, and waits for it
        done = ended(tmp_path, command, **secrets(url))
        assert done.returncode in {3, 4}
        assert word in done.stdout + done.stderr
        clean(done.stdout + done.stderr, command)


SPOILT = {
    "OANDA_API_KEY": f"{KEY} x",
    "HOTBAND_HTTP_TOKEN": f"é{TOKEN}",
    "VALKEY_URL": f"redis://me:{quote(WRONG, safe='')}@h:x?y",
}


@pytest.mark.parametrize("name", SPOILT)
def test_settings_that_cannot_be_used_are_not_repeated(cli: Cli, tmp_path: Path, name: str) -> None:  # noqa: F811
    text = SPOILT[name]
    for environment, line in (({name: text}, ""), ({}, f'{name}="{text}"\n'), ({}, f'{name}="{text}\n')):
        (tmp_path / ".env.hotband").write_text(line)
        for command in ("run", "check-config", "status"):
            done = cli(command, **environment)
            assert done.code == 2
            clean(done.out + done.err, command)


def test_nothing_that_holds_a_secret_shows_it(valkey: Guarded) -> None:
    found = load({name: text for name, text in secrets(valkey.url).items() if name != "PYTHONPATH"}, None)
    chosen = found.settings
    for held in (found, chosen, chosen.http_token, chosen.oanda_api_key, chosen.shown()):
        clean(f"{held} {held!r}", "repr")
