"""Write constraints.txt: every dependency in one version with the hashes of all its files, cut into the sets that are installed.

Pins that still fit what pyproject.toml asks for stay as they are. ``--upgrade``, or ``--upgrade-package NAME``, takes newer ones.
Asks the package index through uv, which writes no address.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = "build"  # with what the project's build system requires
SETS = {
    "runtime": (),
    "build": (BUILD,),
    "notify": ("notify",),
    "dask": ("dask",),
    "dev": ("dev",),
    "release": ("release",),
    "bench": ("docs", "rivals"),
}
HEADER = """\
# Every dependency, in one version with the hashes of all its files. Written by `make lock`: change pyproject.toml, not this file.
# To add a dependency, put its bounds into pyproject.toml, run `make lock`, and commit both; the other pins stay as they are.
# `make lock UPGRADE=NAME` takes the newest version of one that its bounds allow, `make lock UPGRADE=all` of every one.
# The sets follow one another, each without what an earlier one holds. An installation takes all down to the end of its own
# ("runtime" is what the daemon runs on), and pip checks the hash of everything that it installs.
"""
_ENTRY = re.compile(r"^[a-z0-9][^\n]*(?:\n[ \t]+[^\n]*)*", re.MULTILINE)


def resolved(extras: tuple[str, ...], known: str, options: list[str]) -> str:
    """Return the pins of the project with some extras; those that are known are preferred."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    backend = project["build-system"]["requires"] if BUILD in extras else []
    wanted = [word for extra in extras for word in ("--extra", extra)]
    form = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "constraints.txt")
        target.write_text(known)
        uv = [Path(sys.executable).with_name("uv"), "pip", "compile", "--no-config", "--system-certs"]
        command = [*uv, *form, *wanted, *options, "--output-file", target, "pyproject.toml", "-"]
        subprocess.run(command, cwd=ROOT, input="\n".join(backend), text=True, check=True)
        return target.read_text()


def main(options: list[str]) -> None:
    """Resolve all sets together, then cut."""
    constraints = ROOT / "constraints.txt"
    everything = resolved(tuple(chain(*SETS.values())), constraints.read_text(), options)
    written: set[str] = set()
    parts, extras = [HEADER], ()
    for name, more in SETS.items():
        extras += more
        entries = [one for one in _ENTRY.findall(resolved(extras, everything, [])) if one not in written]
        written.update(entries)
        parts += [f"\n# {name}\n", *(f"{entry}\n" for entry in entries), f"# end of {name}\n"]
    if written != set(_ENTRY.findall(everything)):
        sys.exit("The sets resolve to other versions apart than together; nothing is written.")
    constraints.write_text("".join(parts))


if __name__ == "__main__":
    main(sys.argv[1:])
