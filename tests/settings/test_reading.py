"""Reading the environment, the settings file, and files of secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hotbandd.errors import SettingsError
from hotbandd.settings import example, load, read_environment, read_settings


def test_the_file_in_home_is_read_where_there_is_one(tmp_path: Path) -> None:
    environ = {"HOTBAND_HOME": str(tmp_path)}
    assert read_environment(environ=environ)[1:3] == (None, None)
    (tmp_path / ".env.hotband").write_text("ALLOC_TOP_K=4\n")
    assert read_environment(environ=environ)[1:3] == (tmp_path / ".env.hotband", "ALLOC_TOP_K=4\n")


def test_without_a_home_the_working_directory_is_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOTBAND_HOME", raising=False)
    monkeypatch.setenv("REQ_CONSEC", "3")
    Path(".env.hotband").write_text("ALLOC_TOP_K=4\n")
    settings = read_settings().settings
    assert (settings.req_consec, settings.alloc_top_k) == (3, 4)


def test_a_file_that_is_named_goes_before_that_in_home(tmp_path: Path) -> None:
    (tmp_path / ".env.hotband").write_text("ALLOC_TOP_K=4\n")
    named = tmp_path / "other.env"
    named.write_text("ALLOC_TOP_K=5\n")
    assert read_environment(named, {"HOTBAND_HOME": str(tmp_path)}).env_file_text == "ALLOC_TOP_K=5\n"


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"#" * 2_000_000])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.env"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"x\.env"):
        read_environment(path, {})


def test_a_directory_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env.hotband").mkdir()
    with pytest.raises(SettingsError, match=r"\.env\.hotband cannot be read"):
        read_environment(environ={"HOTBAND_HOME": str(tmp_path)})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.touch(mode=0)
    with pytest.raises(SettingsError, match="Permission denied"):
        read_environment(path, {})


def test_the_key_comes_from_the_file_that_the_environment_or_the_settings_file_names(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("the-key\n")
    env_file = tmp_path / "x.env"
    env_file.write_text(f"OANDA_API_KEY_FILE={key}\n")
    assert read_environment(env_file, {}).credentials.values == {"OANDA_API_KEY": "the-key"}
    environ = {"OANDA_API_KEY_FILE": str(key), "HOTBAND_HOME": str(tmp_path)}
    assert read_environment(environ=environ).credentials.values == {"OANDA_API_KEY": "the-key"}


def test_credentials_of_systemd_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "oanda_api_key").write_text("the-key")
    (tmp_path / "hotband_http_token").write_text("the-token")
    (tmp_path / "other").write_text("x")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "HOTBAND_HOME": str(tmp_path)}
    inputs = read_environment(environ=environ)
    assert inputs.credentials.values == {"OANDA_API_KEY": "the-key", "HOTBAND_HTTP_TOKEN": "the-token"}
    settings = load(environ, None, credentials=inputs.credentials, source_needed=True).settings
    assert settings.oanda_api_key
    assert settings.oanda_api_key.reveal() == "the-key"


@pytest.mark.parametrize("content", ["", " \n", None])
def test_a_key_file_that_is_missing_or_empty_is_a_fault_of_who_needs_it(tmp_path: Path, content: str | None) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_text(content)
    environ = {"OANDA_API_KEY_FILE": str(key), "HOTBAND_HOME": str(tmp_path)}
    inputs = read_environment(environ=environ)
    (warning,) = load(inputs.environ, None, credentials=inputs.credentials).warnings
    assert str(key) in warning
    with pytest.raises(SettingsError, match=str(key)):
        load(inputs.environ, None, credentials=inputs.credentials, source_needed=True)


def test_the_example_file_is_what_the_table_says() -> None:
    path = Path(__file__).resolve().parents[2] / "config" / "hotband.env.example"
    assert path.read_text() == example(), "write it anew from hotbandd.settings.example()"


def test_the_example_sets_nothing_and_uncommented_sets_the_defaults() -> None:
    assert load({}, example()).settings == load({}, None).settings
    lines = [line.removeprefix("#") for line in example().splitlines() if line.startswith("#") and "=" in line]
    filled = [line for line in lines if not line.endswith("=")]
    assert load({}, "\n".join(filled)).settings == load({}, None).settings
    assert len(lines) == len(load({}, None).sources)
