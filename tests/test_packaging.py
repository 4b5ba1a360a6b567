"""What an installation consists of."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hotbandd
import kernels

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()


def test_nothing_else_called_kernels_is_installed_and_both_packages_come_from_one_place():
    names = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
    assert "hotband" in names
    assert "kernels" not in names
    assert Path(hotbandd.__file__).parents[1] == Path(kernels.__file__).parents[1]


def test_the_wheel_holds_both_packages_whole_and_nothing_else(tmp_path):
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (commands,) = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith("entry_points.txt")]
    files = (path for package in ("hotbandd", "kernels") for path in (ROOT / package).rglob("*.*"))
    assert packed == {str(path.relative_to(ROOT)) for path in files if path.suffix != ".pyc"}
    assert "hotbandd = hotbandd.__main__:main" in commands


def sets() -> dict[str, list[str]]:
    """Return the entries of constraints.txt by the set that they first appear in."""
    parts = re.findall(r"^# (\w+)\n(.*?)^# end of \1$", CONSTRAINTS, re.MULTILINE | re.DOTALL)
    return {name: re.findall(r"^[a-z0-9][^\n]*(?:\n[ \t][^\n]*)*", entries, re.MULTILINE) for name, entries in parts}


def requirement(entry: str) -> Requirement:
    return Requirement(entry.partition("\\")[0])


def test_each_dependency_has_one_version_and_the_hashes_of_its_files_and_no_host_is_named():
    entries = [entry for part in sets().values() for entry in part]
    assert list(sets()) == ["runtime", "build", "notify", "dask", "dev", "release", "bench"]
    for entry in entries:
        assert re.fullmatch(r"==[^,=*]+", str(requirement(entry).specifier)), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    names = [requirement(entry).name for entry in entries]
    assert sorted(names) == sorted(set(names))
    bare = re.sub(r"--hash=sha256:[0-9a-f]{64}", "", CONSTRAINTS)
    assert "://" not in bare
    assert "index" not in bare
    assert not re.search(r"^\s*-", bare, re.MULTILINE)


def needed(name: str, extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """Iterate over what a distribution needs here, itself included."""
    yield canonicalize_name(name)
    for line in importlib.metadata.requires(name) or ():
        found = Requirement(line)
        if found.marker is None or any(found.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield from needed(found.name, frozenset(found.extras))


def test_all_that_is_installed_is_what_the_constraints_say():
    pinned = {canonicalize_name(found.name): found for found in map(requirement, chain(*sets().values()))}
    installed = {canonicalize_name(found.name) for found in importlib.metadata.distributions()}
    ours = set(needed("hotband", frozenset({"build", "dev"})))
    if os.environ.get("CI"):  # elsewhere someone may have added tools of their own
        ours = installed
    for name in ours - {"hotband", "pip"}:
        assert name in pinned, name
        assert importlib.metadata.version(name) in pinned[name].specifier, name


def test_what_the_daemon_runs_on_is_pinned_as_such_and_free_to_use():
    runtime = {canonicalize_name(requirement(entry).name) for entry in sets()["runtime"]}
    here = set(needed("hotband")) - {"hotband"}
    assert here <= runtime
    for name in here:
        about = importlib.metadata.metadata(name)
        said = (
            about.get("License-Expression"),
            (about.get("License") or "").partition("\n")[0],
            *about.get_all("Classifier", []),
        )
        licence = " ".join(filter(None, said))
        assert re.search(r"MIT|BSD|Apache|ISC|PSF|MPL|Zlib", licence), name
        assert not re.search(r"\bA?GPL", licence), name


def test_the_sets_hold_what_the_project_asks_for():
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = asked["project"]["optional-dependencies"]
    wanted = {
        "runtime": asked["project"]["dependencies"],
        "build": [*asked["build-system"]["requires"], *extras["build"]],
        "notify": extras["notify"],
        "dask": extras["dask"],
        "dev": extras["dev"],
        "release": extras["release"],
        "bench": [*extras["docs"], *extras["rivals"]],
    }
    earlier: dict[str, Requirement] = {}
    for name, entries in sets().items():
        earlier |= {canonicalize_name(found.name): found for found in map(requirement, entries)}
        for line in wanted[name]:
            found = Requirement(line)
            (pin,) = earlier[canonicalize_name(found.name)].specifier
            assert found.specifier.contains(pin.version), line
