"""The unit files: what systemd itself says of them, and that they agree with the commands and settings of hotband."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from hotbandd.cli.app import app
from hotbandd.services import watch
from hotbandd.settings import TABLE, load
from tests.tools import tool
from tests.valkey import ROOT

UNITS = ROOT / "systemd"
DAEMON, SNAPSHOT, TRIALS = SERVICES = ("hotbandd.service", "hotbandd-snapshot.service", "hotbandd-trials.service")
TIMERS = ("hotbandd-snapshot.timer", "hotbandd-trials.timer")
EXPOSURE_AT_MOST = 1.2
INSTALLED = "/opt/hotband/bin/hotbandd"
SANDBOX = "# What it may do"


def directives(name: str) -> dict[str, list[str]]:
    """Return what a unit sets, by name, in order."""
    found = defaultdict(list)
    for line in (UNITS / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def said(*words: str) -> str:
    """Run one of systemd's tools, and return all that it says."""
    done = subprocess.run([tool(words[0], "systemd"), *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_nothing_is_missing_here():
    assert {path.name for path in UNITS.iterdir()} == {
        *SERVICES,
        *TIMERS,
        "hotband.sysusers.conf",
        "hotband.tmpfiles.conf",
    }


def test_systemd_finds_nothing_amiss(tmp_path):
    hotbandd = Path(sys.executable).with_name("hotbandd")
    for name in (*SERVICES, *TIMERS):
        (tmp_path / name).write_text((UNITS / name).read_text().replace(INSTALLED, str(hotbandd)))
    assert said("systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in (*SERVICES, *TIMERS))) == ""


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_exposed_no_more_than_it_has_to_be(name):
    report = said("systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / name))
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", report)
    assert level is not None, report
    assert float(level[1]) <= EXPOSURE_AT_MOST, report


@pytest.mark.parametrize("name", [SNAPSHOT, TRIALS])
def test_the_jobs_live_in_the_daemons_sandbox_and_read_the_same_settings(name):
    daemon, job = ((UNITS / each).read_text() for each in (DAEMON, name))
    assert job.partition(SANDBOX)[2].strip() == daemon.partition(SANDBOX)[2].partition("\n[Install]")[0].strip()
    for key in ("Environment", "LoadCredential"):
        assert directives(name)[key] == directives(DAEMON)[key]


def test_the_daemon_is_watched_as_it_reports():
    unit = directives(DAEMON)
    assert unit["Type"] == ["notify"]
    assert unit["NotifyAccess"] == ["main"]
    assert unit["KillMode"] == ["mixed"]  # a signal to all of them would break the pool
    assert float(unit["WatchdogSec"][0]) / 2 >= watch.REPORT_SEC
    assert float(unit["TimeoutStopSec"][0]) > 5


def test_credentials_and_environment_are_settings_that_are_good():
    unit = directives(DAEMON)
    secrets = {setting.name.lower() for setting in TABLE.values() if setting.kind.secret}
    assert set(unit["LoadCredential"]) == secrets
    environment = dict(entry.split("=", 1) for entry in unit["Environment"])
    loaded = load({**environment, "OANDA_API_KEY": "x"}, None, source_needed=True)
    assert loaded.settings.valkey_url is not None
    assert loaded.settings.home == unit["WorkingDirectory"][0]


def test_each_unit_runs_a_command_that_there_is():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    for name in SERVICES:
        for line in directives(name)["ExecStart"]:
            words = shlex.split(line)
            assert words[0] == INSTALLED
            assert words[1] in commands
    (trials, _) = directives(TRIALS)["ExecStart"]
    assert (ROOT / shlex.split(trials)[2]).is_file()


@pytest.mark.parametrize("name", TIMERS)
def test_the_timers_say_when(name):
    (when,) = directives(name)["OnCalendar"]
    assert "Next elapse:" in said("systemd-analyze", "calendar", when)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root creates users and folders of others")
def test_the_user_and_the_folders_are_created(tmp_path):
    (tmp_path / "etc").mkdir()
    said("systemd-sysusers", f"--root={tmp_path}", str(UNITS / "hotband.sysusers.conf"))
    assert re.search(
        r"^hotband:x:\d+:\d+:hotband:/var/lib/hotband:\S*nologin$", (tmp_path / "etc/passwd").read_text(), re.M
    )
    said("systemd-tmpfiles", "--create", f"--root={tmp_path}", str(UNITS / "hotband.tmpfiles.conf"))
    assert (tmp_path / "var/lib/hotband").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "etc/credstore").stat().st_mode & 0o777 == 0o700
