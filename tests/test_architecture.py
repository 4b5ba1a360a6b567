"""The layers, and that importing has no effects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

WATCHED = """
import builtins, importlib, os, pkgutil, socket, subprocess, sys

class Watched(dict):
    def __getitem__(self, key): return seen(key) or super().__getitem__(key)
    def __contains__(self, key): return bool(seen(key)) or super().__contains__(key)
    def get(self, key, default=None): return seen(key) or super().get(key, default)

read = []
def seen(name):
    frame = sys._getframe(2)
    while frame and frame.f_globals.get("__name__") in ("os", "_collections_abc"):
        frame = frame.f_back
    if frame and frame.f_globals.get("__name__", "").split(".")[0] in ("hotbandd", "kernels"):
        read.append((frame.f_globals["__name__"], name))

def refuse(*words, **more): raise AssertionError("an import had an effect")

names = [package + ".__init__" for package in ("hotbandd", "kernels")]
import hotbandd, kernels
names = [found.name for package in (hotbandd, kernels) for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in list(sys.modules):
    if name.split(".")[0] in ("hotbandd", "kernels"): del sys.modules[name]
os.environ = Watched(os.environ)
os.getenv = lambda name, default=None: seen(name) or default
socket.socket.connect = subprocess.Popen.__init__ = refuse
for name in names:
    importlib.import_module(name)
assert len(names) > 80, names
assert not read, read
"""


def test_imports_go_down_only_and_the_core_is_pure():
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_importing_reads_no_environment_connects_nowhere_and_starts_nothing():
    done = subprocess.run([sys.executable, "-c", WATCHED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_entry_imports_nothing_of_the_daemon():
    check = (
        "import sys; import hotbandd.__main__; "
        "assert {name for name in sys.modules if name.startswith('hotbandd')} == {'hotbandd', 'hotbandd.__main__'}"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
