"""A Dockerfile's steps, taken one by one without a container engine: stages are overlays over a base, run in a mount namespace.

What it knows is what our Dockerfile uses: FROM, ARG, ENV, WORKDIR, COPY, RUN (without its mounts), USER, and what describes the image.
Needs root on Linux.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_NAMESPACE = "mount -t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={work} {merged}"
_HOST = (
    "for each in proc sys dev; do mount --rbind /$each {merged}/$each; done; "
    "for each in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do mkdir -p {merged}/${{each%/*}}; cp -fL $each {merged}$each; done"
)


@dataclass
class Stage:
    """One stage: its layers' folder, and what it declares."""

    folder: Path
    base: Path
    environment: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = "0:0"
    declared: dict[str, str] = field(default_factory=dict)

    @property
    def layers(self) -> Path:
        """The files that the stage adds to its base."""
        return self.folder / "layers"

    def command(self, script: str, *, before: str = "") -> list[str]:
        """Return a command that runs a script inside, as root; ``before`` runs outside, where $ROOT is the stage's root."""
        places = {
            "lower": self.base,
            "upper": self.layers,
            "work": self.folder / "work",
            "merged": self.folder / "merged",
        }
        for place in list(places.values())[1:]:
            place.mkdir(parents=True, exist_ok=True)
        outside = f"set -e; {_NAMESPACE}; {_HOST}; ROOT={{merged}}; {before or ':'}".format(**places)
        inside = f"mkdir -p {self.directory} && cd {self.directory} && {script}"
        return ["unshare", "--mount", "sh", "-c", f'{outside}; exec chroot $ROOT /bin/sh -c "$1"', "sh", inside]

    def run(self, script: str, *, before: str = "") -> None:
        """Run a script inside; raise CalledProcessError where it fails."""
        subprocess.run(self.command(script, before=before), env=self.environment, check=True)

    def size(self) -> int:
        """Return the bytes of the files that the stage adds."""
        return sum(path.lstat().st_size for path in self.layers.rglob("*") if not path.is_dir() and path.exists())


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their arguments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def build(dockerfile: Path, folder: Path, base: Path, environment: dict[str, str], *, prepare: str) -> Stage:
    """Take all steps in a folder, each stage over the same base, and return the last stage.

    The environment is what a base image has; ``prepare`` is a script that makes the base such an image, run in each stage first.
    """
    stages: dict[str, Stage] = {}
    stage = Stage(folder, base)
    for word, rest in instructions(dockerfile.read_text()):
        if word == "FROM":
            name = rest.split(" AS ")[-1] if " AS " in rest else "last"
            stage = stages[name] = Stage(folder / name, base, dict(environment))
            stage.run(prepare)
        elif word in {"ARG", "ENV"}:
            for pair in re.findall(r"(\w+)=(\"[^\"]*\"|\S*)", rest):
                stage.environment[pair[0]] = _expanded(pair[1].strip('"'), stage.environment)
        elif word == "WORKDIR":
            stage.directory = rest
        elif word == "COPY":
            _copy(stage, stages, rest.split(), dockerfile.parent)
        elif word == "RUN":
            stage.run(re.sub(r"^--mount=\S+\s+", "", rest))
        elif word == "USER":
            stage.user = rest
        else:
            stage.declared[word] = rest
    return stage


def _copy(stage: Stage, stages: dict[str, Stage], words: list[str], context: Path) -> None:
    origin = context
    if words[0].startswith("--from="):
        origin = stages[words.pop(0).partition("=")[2]].layers
    *sources, target = words
    target = os.path.normpath(f"{stage.directory}/{target}")
    for source in sources:
        found = origin / source.lstrip("/")
        within = stage.layers / target.lstrip("/")
        if found.is_dir():
            shutil.copytree(
                found,
                within,
                symlinks=True,
                ignore=shutil.ignore_patterns("__pycache__") if origin == context else None,
            )
        else:
            into = within / found.name if len(sources) > 1 or words[-1].endswith("/") else within
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, into)


def _expanded(text: str, environment: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], ""), text)


def words_of(declared: str) -> list[str]:
    """Return the words of an instruction in exec form."""
    return list(json.loads(declared[declared.index("[") :]))
