"""Reading what settings are made of: the process environment, the settings file, and files that hold one secret each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from hotbandd.errors import SettingsError
from hotbandd.settings import env_file
from hotbandd.settings.loading import Credentials, Loaded, load
from hotbandd.settings.table import TABLE

FILE_NAME: Final = ".env.hotband"
_LONGEST: Final = 1_048_576
_KEY: Final = TABLE["oanda_api_key"].name
_KEY_FILE: Final = TABLE["oanda_api_key_file"].name
_HOME: Final = TABLE["home"]


class Inputs(NamedTuple):
    """Texts that settings are made of; ``env_file`` is the file that was read, if any."""

    environ: Mapping[str, str]
    env_file: Path | None
    env_file_text: str | None
    credentials: Credentials


def read_settings(env_file: Path | None = None, *, source_needed: bool = False) -> Loaded:
    """Read the environment and the settings file, and build the settings. Raises SettingsError."""
    inputs = read_environment(env_file)
    return load(inputs.environ, inputs.env_file_text, credentials=inputs.credentials, source_needed=source_needed)


def read_environment(env_file: Path | None = None, environ: Mapping[str, str] | None = None) -> Inputs:
    """Read everything that settings come from.

    The file is the one named, which has to exist, or ``.env.hotband`` in HOTBAND_HOME, which need not.
    Files of credentials are those of systemd, named as the settings in small letters, and OANDA_API_KEY_FILE.
    Raises SettingsError for a settings file that cannot be read.
    """
    environ = dict(os.environ if environ is None else environ)
    path = env_file or Path(environ.get(_HOME.name) or _HOME.default_text) / FILE_NAME
    present = env_file is not None or _present(path)
    content = _read(path) if present else None
    return Inputs(environ, path if present else None, content, _credentials(environ, content))


def _credentials(environ: Mapping[str, str], content: str | None) -> Credentials:
    """Read secrets from systemd's directory of credentials, and the OANDA key from the file that the settings name."""
    paths: dict[str, Path] = {}
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if directory:
        secrets = (setting.name for setting in TABLE.values() if setting.kind.secret)
        inside = {name: Path(directory) / name.lower() for name in secrets}
        paths = {name: path for name, path in inside.items() if _present(path)}
    entry = env_file.parse(content or "").entries.get(_KEY_FILE)
    named = environ.get(_KEY_FILE, entry.value if entry else "").strip()
    if named:
        paths[_KEY] = Path(named)
    values, faults = {}, []
    for name, path in paths.items():
        try:
            values[name] = _read_secret(path)
        except SettingsError as error:
            faults.append(str(error))
    return Credentials(values, faults)


def _present(path: Path) -> bool:
    """Tell whether there is a file, or something in its way that reading it will name."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read_secret(path: Path) -> str:
    value = _read(path).strip()
    if not value:
        raise SettingsError(f"{path} is empty; write the secret into it, and nothing else.")
    return value


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}); name another file, or make it readable."
        ) from error
    if len(content) > _LONGEST:
        raise SettingsError(f"{path} is longer than {_LONGEST} bytes; that is no settings file.")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text (byte {error.start}).") from error
