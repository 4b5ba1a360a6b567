"""What an installation consists of."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import hotbandd
import kernels

ROOT = Path(__file__).resolve().parents[1]


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
