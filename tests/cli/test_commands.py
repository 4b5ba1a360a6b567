"""Every command explains itself, and ends with the code that the contract gives."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest
from redis import Redis

from tests.cli.conftest import sentences
from tests.processes import COMMAND, bare_environment, hotbandd
from tests.valkey import owner

COMMANDS = [
    "run",
    "demo",
    "replay",
    "manifold",
    "backtest",
    "calibrate",
    "warmup",
    "trials",
    "report",
    "snapshot",
    "status",
    "watch",
    "schema",
    "explain",
    "doctor",
    "check-config",
    "reload",
    "promote",
    "apply",
    "deploy",
    "kill",
]


def test_the_help_of_the_program_lists_every_command(tmp_path):
    ended = hotbandd(tmp_path, "--help")
    assert ended.code == 0
    listed = [line.split()[0] for line in ended.out.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == COMMANDS


@pytest.mark.parametrize("command", [*COMMANDS, "kill status", "kill engage", "kill release"])
def test_every_command_has_help(cli, command):
    ended = cli(*command.split(), "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"Usage: hotbandd {command}")
    assert not ended.err


@pytest.mark.parametrize("command", ["status", "watch", "watch --json", "kill status", "kill engage", "kill release"])
def test_what_needs_a_server_starts_none_and_says_that_there_is_none(cli, tmp_path, command):
    ended = cli(*command.split())
    assert ended.code == 3
    assert sentences(ended).startswith(f"No Valkey runs for {tmp_path}; start hotbandd run there")
    assert not list(tmp_path.glob("data/valkey/*.sock"))


@pytest.mark.parametrize("command", ["status", "watch", "kill engage", "run"])
def test_a_server_that_does_not_answer_is_named(cli, command):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"redis://user:a-password@127.0.0.1:{nobody.getsockname()[1]}/0"
        ended = cli(*command.split(), VALKEY_URL=url, HOTBAND_SOURCE="simulated", LOG_LEVEL="error")
    assert ended.code == 3
    assert sentences(ended).startswith("Valkey at 127.0.0.1:")
    assert "a-password" not in ended.err


@pytest.mark.parametrize("command", ["status", "kill status", "run"])
def test_a_wrong_password_is_told_and_not_repeated(cli, tmp_path, command):
    with owner(tmp_path) as server:
        path = server.url.removeprefix("unix://")
        with Redis(unix_socket_path=path, protocol=2) as redis:
            redis.config_set("requirepass", "the-right-one")
        url = f"unix://:the-wrong-one@{path}"
        ended = cli(*command.split(), VALKEY_URL=url, HOTBAND_SOURCE="simulated", LOG_LEVEL="error")
    assert ended.code == 3
    assert "Valkey" in sentences(ended)
    assert "password" in ended.err
    assert "the-wrong-one" not in ended.err


def test_reload_without_a_daemon_says_so(cli, tmp_path):
    ended = cli("reload", HOTBAND_SOURCE="simulated")
    assert ended.code == 4
    assert sentences(ended).startswith(f"No daemon runs in {tmp_path}")


@pytest.mark.parametrize("command", ["run", "status"])
def test_a_home_that_cannot_be_written_is_named(cli, tmp_path, command):
    (tmp_path / "file").write_text("in the way")
    ended = cli(command, HOTBAND_HOME=str(tmp_path / "file"), HOTBAND_SOURCE="simulated")
    assert ended.code == {"run": 2, "status": 3}[command]
    assert str(tmp_path / "file") in sentences(ended)


REPLAY_WORDS = {
    "--from 2024-02-30 --to 2024-03-06": "--from must be a day such as",
    "--from 2024-03-05 --to tomorrow": "--to must be a day such as",
    "--from 2024-03-06 --to 2024-03-05": "--to must be later than --from",
    "--from 2024-03-05 --to 2024-03-05": "--to must be later than --from",
    "--from 2023-03-05 --to 2023-03-06": "choose a time within",
    "--from 2024-03-04 --to 2024-03-05 --speed 0": "--speed must be max, or",
    "--from 2024-03-04 --to 2024-03-05 --speed nan": "--speed must be max, or",
}


@pytest.mark.parametrize("words", REPLAY_WORDS)
def test_replay_refuses_days_and_speeds_that_make_no_sense(cli, tmp_path, words):
    (tmp_path / "EUR_USD_M1.csv").write_text("time_ms,open,high,low,close,volume\n1709510400000,1,1,1,1,5\n")
    ended = cli("replay", "--candles", ".", *words.split())
    assert ended.code == 2
    assert REPLAY_WORDS[words] in sentences(ended)


def test_replay_refuses_a_folder_without_candles_and_pairs_without_files(cli, tmp_path):
    days = ("--from", "2024-03-04", "--to", "2024-03-05")
    assert "no candle files in ." in sentences(cli("replay", "--candles", ".", *days))
    assert "gone cannot be read" in sentences(cli("replay", "--candles", "gone", *days))
    (tmp_path / "EUR_USD_M1.csv").write_text("time_ms,open,high,low,close,volume\n1709510400000,1,1,1,1,5\n")
    ended = cli("replay", "--candles", ".", *days, HOTBAND_PAIRS="EUR_USD,USD_JPY")
    assert ended.code == 2
    assert "no candles of USD_JPY" in sentences(ended)


def test_the_demo_refuses_an_address_by_the_name_of_its_option(cli):
    ended = cli("demo", "--http", "nowhere")
    assert ended.code == 2
    assert sentences(ended).startswith("--http must be host:port")


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path):
    read, write = os.pipe()
    os.close(read)
    environment = bare_environment(tmp_path, {"HOTBAND_SOURCE": "simulated"})
    done = subprocess.run(
        [*COMMAND, "check-config"], stdout=write, stderr=subprocess.PIPE, env=environment, cwd=tmp_path, check=False
    )
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""
