"""The image, what runs beside it, and how they are held apart; built without an engine under --full."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from ruamel.yaml import YAML

from hotbandd.adapters.embedded_valkey import _binary
from hotbandd.settings import TABLE
from tests.container.dockerfile import instructions, words_of
from tests.tools import tool

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = YAML(typ="safe").load(ROOT / "compose.yaml")
SERVICES = COMPOSE["services"]
STEPS = instructions((ROOT / "Dockerfile").read_text())


def loaded(path: str) -> Any:
    return YAML(typ="safe").load(ROOT / path)


def test_the_image_runs_as_nobody_in_particular_and_receives_signals() -> None:
    last = STEPS[max(index for index, (word, _) in enumerate(STEPS) if word == "FROM") :]
    declared = dict(last)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", declared["USER"])
    assert [*words_of(declared["ENTRYPOINT"]), *words_of(declared["CMD"])] == ["hotbandd", "run"]  # no shell between
    assert words_of(declared["HEALTHCHECK"].partition("CMD")[2])[:2] == ["hotbandd", "status"]
    assert declared["STOPSIGNAL"] == "SIGTERM"
    names = {name for word, rest in last if word == "ENV" for name in re.findall(r"(\w+)=", rest)}
    assert names - {"PATH", "PYTHONDONTWRITEBYTECODE"} <= {setting.name for setting in TABLE.values()}
    project = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert project
    assert f"VERSION={project[1]}" in dict(last)["ARG"] or ("ARG", f"VERSION={project[1]}") in last
    assert SERVICES["hotbandd"]["image"] == f"hotband:{project[1]}"


def test_pip_checks_the_hash_of_all_that_it_fetches() -> None:
    installs = [
        part
        for word, rest in STEPS
        if word == "RUN"
        for part in rest.split("&&")
        if " install " in part and "pip" in part
    ]
    assert len(installs) == 3
    assert all("--require-hashes" in part or "--no-index --no-deps" in part for part in installs)


def test_the_build_sees_only_what_the_wheel_is_made_of() -> None:
    first, *rest = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    seen = {line[1:] for line in rest if line.startswith("!")}
    copied = [word for step, words in STEPS if step == "COPY" and "--from" not in words for word in words.split()[:-1]]
    assert first == "*"
    assert seen == set(copied)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_sealed(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert "healthcheck" in service or service["image"].startswith("hotband:")  # the image's own
    assert ":" in service["image"]
    assert not service["image"].endswith(":latest")
    for mount in service["volumes"]:
        source, _, rest = mount.partition(":")
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert rest.endswith(":ro"), mount
        else:
            assert source in COMPOSE["volumes"]
    for secret in service.get("secrets", ()):
        assert secret in COMPOSE["secrets"]


def test_valkey_is_reachable_from_the_daemon_alone() -> None:
    assert "ports" not in SERVICES["valkey"]
    beside = [
        name for name, service in SERVICES.items() if set(service["networks"]) & set(SERVICES["valkey"]["networks"])
    ]
    assert beside == ["valkey", "hotbandd"]
    assert COMPOSE["networks"]["store"]["internal"] is True


def test_what_compose_hands_to_the_daemon_are_settings() -> None:
    names = {setting.name for setting in TABLE.values()}
    assert set(SERVICES["hotbandd"]["environment"]) - {"CREDENTIALS_DIRECTORY"} <= names
    secret = {setting.name.lower() for setting in TABLE.values() if setting.kind.secret}
    assert set(SERVICES["hotbandd"]["secrets"]) <= secret


def test_prometheus_and_grafana_find_what_they_look_for() -> None:
    promtool = tool("promtool", "prometheus")
    subprocess.run(
        [promtool, "check", "config", ROOT / "config/prometheus/compose.yml"], capture_output=True, check=True
    )
    alone, beside = loaded("config/prometheus/prometheus.yml"), loaded("config/prometheus/compose.yml")
    assert beside["scrape_configs"][0].pop("static_configs") == [{"targets": ["hotbandd:8100"]}]
    assert alone["scrape_configs"][0].pop("static_configs")
    assert alone == beside
    (source,) = loaded("config/grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = loaded("config/grafana/provisioning/dashboards/hotband.yaml")["providers"]
    assert any(provider["options"]["path"] + "/" in mount for mount in SERVICES["grafana"]["volumes"])


def test_secrets_are_made_once_for_all_that_compose_asks_for(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "compose"
    shutil.copytree(ROOT / "config" / "compose", folder)
    for token in ("first\n", "second\n"):
        subprocess.run([folder / "secrets.sh"], input=token, capture_output=True, text=True, check=True)
    made = {path.name: path.read_text().strip() for path in (tmp_path / "secrets").iterdir()}
    assert {f"./secrets/{name}" for name in made} == {secret["file"] for secret in COMPOSE["secrets"].values()}
    assert made["oanda_api_key"] == "first"
    assert re.fullmatch(r"redis://hotband:[0-9a-f]{48}@valkey:6379/0", made["valkey_url"])
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_valkey_starts_with_the_project_s_users_and_the_password_of_the_secret(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "valkey-server").symlink_to(_binary())
    (tmp_path / "valkey_url").write_text("redis://hotband:f00d@valkey:6379/0\n")
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "VALKEY_URL_FILE": str(tmp_path / "valkey_url"),
        "VALKEY_USERS": str(ROOT / "config" / "valkey" / "users.acl"),
        "VALKEY_RUN": str(tmp_path),
    }
    socket = tmp_path / "s"
    words = ["sh", ROOT / "config/compose/valkey.sh", "--dir", tmp_path, "--port", "0", "--unixsocket", socket]
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            with Redis.from_url(f"unix://hotband:f00d@{socket}", protocol=2) as client:
                assert answers(client)
                with pytest.raises(NoPermissionError):
                    client.config_get("*")
                assert client.set("ops:kill_switch", "1")
            for who in ("hotband:beef@", "admin:f00d@", ""):
                with Redis.from_url(f"unix://{who}{socket}", protocol=2) as client, pytest.raises(AuthenticationError):
                    client.ping()
        finally:
            server.terminate()
    users = (tmp_path / "users.acl").read_text()
    assert hashlib.sha256(b"f00d").hexdigest() in users
    assert "f00d" not in users.replace(hashlib.sha256(b"f00d").hexdigest(), "")


def test_the_nodes_of_a_cluster_enter_one_another_as_their_secrets_say(tmp_path: Path) -> None:
    programs, secrets = tmp_path / "bin", tmp_path / "secrets"
    for folder in (programs, secrets):
        folder.mkdir()
    (programs / "valkey-server").symlink_to(_binary())
    (secrets / "valkey_url").write_text("redis+cluster://hotband:f00d@valkey:6379,valkey2:6379\n")
    (secrets / "valkey_admin").write_text("boss")
    (secrets / "valkey_replica").write_text("copy")
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "VALKEY_URL_FILE": str(secrets / "valkey_url"),
        "VALKEY_SECRETS": str(secrets),
        "VALKEY_USERS": str(ROOT / "config" / "valkey" / "users.acl"),
        "VALKEY_RUN": str(tmp_path),
    }
    socket = tmp_path / "s"
    words = ["sh", ROOT / "config/compose/valkey.sh", "--dir", tmp_path, "--port", "0", "--unixsocket", socket]
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            with Redis.from_url(f"unix://hotband:f00d@{socket}", protocol=2) as client:
                assert answers(client)
            with Redis.from_url(f"unix://admin:boss@{socket}", protocol=2) as client:
                assert client.config_get("masteruser") == {"masteruser": "replica"}
                assert client.config_get("masterauth") == {"masterauth": "copy"}
                assert client.execute_command("AUTH", "replica", "copy") in {True, b"OK"}
        finally:
            server.terminate()


def answers(client: Any) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return bool(client.ping())
        except RedisError:
            time.sleep(0.05)
    return False


def test_the_image_s_steps_run_and_so_does_what_they_make(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--full"):
        pytest.skip("with --full: it fetches all that the image holds")
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("overlays and namespaces need root on Linux")
    done = subprocess.run(
        [sys.executable, "-m", "tests.container.steps"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ended by SIGTERM" in done.stdout, json.dumps(done.stdout)
